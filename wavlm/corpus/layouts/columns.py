"""Layout of tables with named columns: one row per utterance, with its path and what is known about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wavlm.corpus.layouts.manifests import plain_names, read_listed
from wavlm.corpus.layouts.named_columns import Cells, check_named, parse_named
from wavlm.corpus.layouts.names import find_spelled
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import Entry, RowError, to_channel, to_name, to_seconds, to_split, to_text
from wavlm.corpus.layouts.target import add_class, canonical_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs import Spec
from wavlm.specs.manifests import TableLayout


def read_columns(layout: TableLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are those of `id_column`, or made of path and times."""

    def rows(path: Path) -> Iterable[Entry]:
        return parse_named(path, columns_of(layout), lambda line, cells: (_entry(layout, line, cells),))

    yield from read_listed(layout, tree, rows)


def check_columns(layout: TableLayout, root: Path) -> None:
    """Raise BadDataError (LAYOUT) for a table that lacks a column. Reads the first line of each."""
    for name in plain_names((*layout.manifests, *layout.valid)):
        check_named(find_spelled(root, name), columns_of(layout))


def columns_of(layout: Spec) -> list[str]:
    """The columns that a layout names, each once."""
    named = (value for name, value in layout if name.endswith("_column"))
    return list(dict.fromkeys(filter(None, named)))


def _entry(layout: TableLayout, line: int, cells: Cells) -> Entry:
    start = to_seconds(cells.get(layout.start_column), layout.start_column)
    name = to_text(cells.get(layout.id_column)).strip()
    if layout.id_column and not name:
        raise RowError(f"{layout.id_column} is empty", "give each row a name")
    text = cells.get(layout.text_column)
    return Entry(
        line=line,
        audio=to_text(cells.get(layout.path_column)),
        name=name,
        start_s=start,
        end_s=_end(layout, cells, start),
        channel=to_channel(cells.get(layout.channel_column)),
        speaker=to_name(cells.get(layout.speaker_column)),
        language=to_name(cells.get(layout.language_column)),
        text=None if text is None else to_text(text),
        split=to_split(cells.get(layout.split_column)) if layout.split_column else None,
        part=to_name(cells.get(layout.partition_column)),
        target=add_class(_target(cells.get(layout.target_column)), to_name(cells.get(layout.class_column))),
    )


def _target(value: object) -> str:
    """The text of a target. JSONL holds an object as it is."""
    return canonical_target(value) if isinstance(value, dict) else to_text(value).strip()


def _end(layout: TableLayout, cells: Cells, start: float | None) -> float | None:
    if not layout.duration_column:
        return to_seconds(cells.get(layout.end_column), layout.end_column)
    duration = to_seconds(cells.get(layout.duration_column), layout.duration_column)
    return None if start is None or duration is None else start + duration
