"""Write YAML with the reason of each value beside it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from wavlm.errors import UsageError
from wavlm.pipeline.init.advice import Advice
from wavlm.storage.encoding import printable
from wavlm.storage.files import write_text

WIDTH = 120


def to_yaml(fields: Mapping[str, object], head: Sequence[str] = ()) -> str:
    """YAML of nested fields; each `Advice` becomes its value with the reason as a comment."""
    yaml = YAML()
    yaml.width = 10_000  # a value is never broken into lines
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_to_map(fields, 0), out)
    return "".join(f"# {line}\n" for text in head for line in _wrap(text, 0)) + out.getvalue()


def check_free(paths: Sequence[Path], *, force: bool) -> None:
    """Raise UsageError (OUT_EXISTS) if a file is there that may not be written over."""
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        names = ", ".join(printable(str(path)) for path in there)
        raise UsageError(
            "OUT_EXISTS",
            f"there is something already; at {names}; write over it with --force, or name another folder by --out or "
            "another name by --name",
        )


def write_file(path: Path, text: str) -> None:
    """Write a text file, and its folder. Raises CannotWriteError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def _to_map(fields: Mapping[str, object], depth: int) -> CommentedMap:
    made = CommentedMap()
    for name, item in fields.items():
        value, why = (item.value, _one_line(item.why)) if isinstance(item, Advice) else (item, "")
        made[name] = node = _to_node(value, depth + 1)
        is_block = isinstance(node, CommentedMap | CommentedSeq) and not node.fa.flow_style()
        shown = f"{' ' * 2 * depth}{name}: {value}"
        if why and (is_block or len(shown) + len(why) + 6 > WIDTH):
            made.yaml_set_comment_before_after_key(name, before="\n".join(_wrap(why, depth)), indent=2 * depth)
        elif why:
            made.yaml_add_eol_comment(why, name, column=0)
    return made


def _to_node(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        made = _to_map(value, depth)
        if all(not isinstance(item, Advice | Mapping | list) for item in value.values()) and len(value) <= 3:
            made.fa.set_flow_style()
        return made
    if isinstance(value, list | tuple):
        items = CommentedSeq([_to_node(item, depth + 1) for item in value])
        if all(isinstance(item, str | int | float) for item in value):
            items.fa.set_flow_style()
        return items
    return value


def _wrap(text: str, depth: int) -> list[str]:
    return textwrap.wrap(_one_line(text), WIDTH - 2 - 2 * depth, break_long_words=False, break_on_hyphens=False)


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
