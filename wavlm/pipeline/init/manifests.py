"""Choose among the manifests of a folder: which are read, which are held out, and where the audio is that they name."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from wavlm.corpus.layouts.places import is_file
from wavlm.corpus.layouts.rows import SPLITS
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import UsageError
from wavlm.pipeline.init.detected import Detected
from wavlm.pipeline.init.sniff import LOOKS, Sniffed, ending_of, sniff
from wavlm.specs import Layout
from wavlm.storage.encoding import printable

MOST_OTHERS = 400  # files of an ending that list nothing: then the others of it are not looked into
MOST_SHOWN = 6
LEAST_FOUND = 0.5  # of the names of audio in a manifest's first lines that have to be there
CONTAINERS = {"huggingface": "data", "webdataset": "tars"}
_LAYOUT: TypeAdapter[Layout] = TypeAdapter(Layout)
_WORD = re.compile(r"[a-z]+")


def sniff_all(tree: Tree) -> list[Sniffed]:
    """All files of a folder that list or hold recordings, by their endings, then by their paths.

    A folder may hold a JSON per utterance, so an ending is given up after many files of it that are something else.
    """
    found: dict[str, list[Sniffed]] = {ending: [] for ending in LOOKS}
    others: Counter[str] = Counter()
    for path in tree.files("**/*"):
        ending = ending_of(path)
        if not ending or others[ending] >= MOST_OTHERS:
            continue
        if item := sniff(tree.root, path):
            found[ending].append(item)
        else:
            others[ending] += 1
    return [item for items in found.values() for item in items]


def choose(root: Path, found: Sequence[Sniffed], audio_root: str = "") -> list[Detected]:
    """A layout for each kind of manifests that names audio which is there. audio_root: as a person types it here.

    Raises UsageError (LAYOUT_AMBIGUOUS) if several manifests of a kind may list the same recordings.
    """
    kinds: dict[str, list[Sniffed]] = defaultdict(list)
    for item in found:
        kinds[item.kind].append(item)
    chosen = []
    for kind, items in kinds.items():
        base = path_from(root, Path(audio_root)) if audio_root else find_base(root, items)
        if base and not audio_root and items[0].folder:  # `audio_root` stands in the place of fairseq's first line
            base = path_from(root, root / base / items[0].folder)
        if kind in CONTAINERS or base is not None:
            chosen.append(_layout(root, kind, items, base or ""))
    return chosen


def find_base(root: Path, items: Sequence[Sniffed]) -> str | None:
    """Where relative paths of manifests start: empty: beside the manifest; None: their audio is nowhere."""
    names = [(item.path.parent, name) for item in items for name in item.audio]
    if not names or _share(root / folder / name for folder, name in names) >= LEAST_FOUND:
        return "" if names or any(item.part == "supervisions" for item in items) else None
    parents = [root, *list(root.resolve().parents)[:4], Path.cwd()]
    folders = sorted({path for path in root.iterdir() if path.is_dir()})
    for base in (*parents, *folders):
        if _share(base / name for _, name in names) >= LEAST_FOUND:
            return path_from(root, base)
    return None


def path_from(root: Path, base: Path) -> str:
    """A place as seen from a folder; absolute if they have nothing in common."""
    target, start = os.path.realpath(base), os.path.realpath(root)
    return target if os.path.commonpath([target, start]) == "/" else os.path.relpath(target, start)


def _share(paths: Iterable[Path]) -> float:
    """The share of the paths that are files; there is at least one."""
    found = [is_file(path) for path in paths]
    return sum(found) / len(found)


def _layout(root: Path, kind: str, items: Sequence[Sniffed], base: str) -> Detected:
    read, valid, test = _by_split(root, kind, items)
    fields: dict[str, object] = {"type": kind, **items[0].fields}
    names = _lists(read), _lists(valid)
    if kind == "huggingface":  # splits are those of the names of its files
        fields["data"] = sorted({*names[0], *names[1]})
    elif kind == "webdataset":
        fields |= {"tars": names[0]} | ({"valid": names[1]} if valid else {})
    else:
        fields |= {"manifests": names[0]} | ({"valid": names[1]} if valid else {})
        fields |= {"audio_root": base} if base else {}
    why = f"{items[0].why}; {_describe(read, 'read')}{_describe(valid, 'held out')}"
    left = (f"not read, since the name says test: {_show(test)}",) if test else ()
    return Detected(_LAYOUT.validate_json(json.dumps(fields)), why.rstrip("; "), left)


def _by_split(root: Path, kind: str, items: Sequence[Sniffed]) -> tuple[list[Sniffed], list[Sniffed], list[Sniffed]]:
    """Manifests to read, to hold out and to leave out. Raises UsageError (LAYOUT_AMBIGUOUS)."""
    by_word: dict[str, list[Sniffed]] = defaultdict(list)
    for item in items:
        by_word[_word(item)].append(item)
    named = by_word["train"] or by_word[""]
    if by_word["train"] and by_word[""]:
        raise _ambiguous(root, kind, items)
    read = named or by_word["valid"] or by_word["test"]
    _check_one(root, kind, read)
    return read, by_word["valid"] if named else [], by_word["test"] if named else []


def _check_one(root: Path, kind: str, items: Sequence[Sniffed]) -> None:
    """Raise UsageError (LAYOUT_AMBIGUOUS) if manifests may list the same recordings twice.

    Parts that differ in numbers alone, as cuts.000.jsonl and cuts.001.jsonl, are one list; so are the containers.
    """
    parts = {item.part for item in items}
    if "cuts" in parts and len(parts) > 1:
        raise _ambiguous(root, kind, items)
    stems = {(re.sub(r"\d+", "0", str(item.path)), item.part) for item in items}
    if kind not in CONTAINERS and len(stems) > max(1, len(parts)):
        raise _ambiguous(root, kind, items)


def _ambiguous(root: Path, kind: str, items: Iterable[Sniffed]) -> UsageError:
    return UsageError(
        "LAYOUT_AMBIGUOUS",
        f"several manifests of {kind} may list the same recordings: {_show(items)}; in {printable(str(root))}; name "
        "the one that you want: wavlm init MANIFEST",
    )


def _word(item: Sniffed) -> str:
    """`train`, `valid` or `test`, if the name of a manifest or of its folder says it."""
    for name in (item.path.name, item.path.parent.name):
        for word in _WORD.findall(name.lower()):
            if word in SPLITS:
                return SPLITS[word]
            if word in ("eval", "evaluation"):
                return "test"
    return ""


def _lists(items: Iterable[Sniffed]) -> list[str]:
    """The names of manifests as a spec gives them: letters of globs are written as sets."""
    return sorted(re.sub(r"([*?[])", r"[\1]", str(item.path)) for item in items)


def _describe(items: Sequence[Sniffed], what: str) -> str:
    return f"{what}: {_show(items)}; " if items else ""


def _show(items: Iterable[Sniffed]) -> str:
    names = sorted(printable(str(item.path)) for item in items)
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more
