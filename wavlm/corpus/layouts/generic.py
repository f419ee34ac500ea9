"""Layout of any folder tree: a glob for the audio, a pattern for the speaker, tables for texts, speakers and phones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.account import Cause
from wavlm.corpus.layouts.names import key_of, normal
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording
from wavlm.corpus.layouts.sounds import AUDIO_SUFFIXES, suffix_of
from wavlm.corpus.layouts.tables import Bounds, Columns, Listed, join_phones, join_recordings
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.encoding import printable


def read_generic(layout: GenericLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made from the relative paths."""
    pattern = _speaker_pattern(layout.speaker)
    paths = tree.audio(layout.audio)
    listed = _join_recordings(layout, tree, paths)
    if layout.only_listed or layout.split_column:
        missing = [path for path in paths if path not in listed]
        tree.leave(missing, Cause.EXCLUDED if layout.only_listed else Cause.NO_ROW)
        paths = [path for path in paths if path in listed]
    phones = _join_phones(layout, tree, paths)
    for path in paths:
        row = listed.get(path, Listed())
        yield Recording(
            key_of(_stem(path)),
            path,
            row.speaker or _speaker(pattern, path, tree.root),
            row.text,
            phones.get(path),
            split=row.split,
            language=row.language,
        )


def _join_recordings(layout: GenericLayout, tree: Tree, paths: list[PurePosixPath]) -> dict[PurePosixPath, Listed]:
    if not layout.transcripts:
        return {}
    columns = Columns(
        layout.id_column, layout.text_column, layout.speaker_column, layout.language_column, layout.split_column
    )
    without_row = 1.0 if layout.only_listed else layout.max_without_row
    return join_recordings(tree, paths, layout.transcripts, columns, Bounds(layout.max_left_over_rows, without_row))


def _join_phones(
    layout: GenericLayout, tree: Tree, paths: list[PurePosixPath]
) -> dict[PurePosixPath, tuple[Phone, ...]]:
    if not layout.phones:
        return {}
    bounds = Bounds(layout.max_left_over_rows, layout.max_without_row)
    return join_phones(tree, paths, layout.phones, Columns(layout.id_column), bounds)


def _stem(path: PurePosixPath) -> str:
    """The path without its suffix, or whole if that is the suffix of no audio, as in `2026.11.30`."""
    text = str(path)
    suffix = suffix_of(text)
    return text[: -len(suffix)] if suffix in AUDIO_SUFFIXES else text


def _speaker_pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(normal(text), re.DOTALL)  # a name may hold a line break
    except re.error as error:
        raise BadDataError(
            "LAYOUT",
            f"speaker is not a regular expression: {error}; found {text!r} in the corpus spec; correct it",
        ) from error
    if "speaker" not in pattern.groupindex:
        raise BadDataError(
            "LAYOUT", f"speaker needs a group (?P<speaker>...); found {text!r} in the corpus spec; add the group"
        )
    return pattern


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
