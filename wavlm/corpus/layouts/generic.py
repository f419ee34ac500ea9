"""Layout of any folder tree: a glob for the audio, a pattern for the speaker, tables for texts, speakers and phones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.names import find_spelled, keys_of, normal
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording
from wavlm.corpus.layouts.table import read_header
from wavlm.corpus.layouts.tables import PHONE_COLUMNS, Bounds, Columns, Listed, join_phones, join_recordings
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.encoding import printable


def read_generic(layout: GenericLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made from the relative paths, without suffix where that is enough to tell them apart."""
    pattern = re.compile(normal(layout.speaker), re.DOTALL) if layout.speaker else None  # a name may hold a line break
    paths = tree.audio(layout.audio)
    keys = dict(zip(paths, keys_of(paths), strict=True))
    listed = _join_recordings(layout, tree, paths)
    if layout.only_listed or layout.split_column:
        missing = [path for path in paths if path not in listed]
        tree.leave(missing, "excluded" if layout.only_listed else "no-row")
        paths = [path for path in paths if path in listed]
    phones = _join_phones(layout, tree, paths)
    for path in paths:
        row = listed.get(path, Listed())
        yield Recording(
            keys[path],
            path,
            row.speaker or _speaker(pattern, path, tree.root),
            row.text,
            phones.get(path),
            split=row.split,
            language=row.language,
        )


def check_generic(layout: GenericLayout, root: Path) -> None:
    """Raise BadDataError (LAYOUT) for a table that is not there or lacks a column. Reads one line of each."""
    if layout.transcripts:
        read_header(find_spelled(root, layout.transcripts), _columns(layout).names)
    if layout.phones:
        read_header(find_spelled(root, layout.phones), (layout.id_column, *PHONE_COLUMNS))


def _join_recordings(layout: GenericLayout, tree: Tree, paths: Sequence[PurePosixPath]) -> dict[PurePosixPath, Listed]:
    if not layout.transcripts:
        return {}
    bounds = Bounds(layout.max_left_over_rows, 1.0 if layout.only_listed else layout.max_without_row)
    return join_recordings(tree, paths, layout.transcripts, _columns(layout), bounds)


def _join_phones(
    layout: GenericLayout, tree: Tree, paths: Sequence[PurePosixPath]
) -> dict[PurePosixPath, tuple[Phone, ...]]:
    if not layout.phones:
        return {}
    bounds = Bounds(layout.max_left_over_rows, layout.max_without_row)
    return join_phones(tree, paths, layout.phones, Columns(layout.id_column), bounds)


def _columns(layout: GenericLayout) -> Columns:
    return Columns(
        layout.id_column, layout.text_column, layout.speaker_column, layout.language_column, layout.split_column
    )


def _speaker(pattern: re.Pattern[str] | None, path: PurePosixPath, root: Path) -> str:
    if pattern is None:
        return UNKNOWN_SPEAKER
    found = pattern.search(normal(str(path)))
    if found is None or not found["speaker"]:
        raise BadDataError(
            "LAYOUT",
            f"the pattern {pattern.pattern!r} finds no speaker in {printable(str(path))}; in {root}; narrow the glob "
            "or widen the pattern in the corpus spec",
        )
    return printable(found["speaker"])
