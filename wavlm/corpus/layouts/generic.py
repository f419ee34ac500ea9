"""Layout of any folder tree: a glob for the audio, a pattern for the speaker, tables for texts, speakers and phones."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.join import Names
from wavlm.corpus.layouts.names import find_spelled, keys_of, normal
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording
from wavlm.corpus.layouts.rows import RowError
from wavlm.corpus.layouts.table import read_header
from wavlm.corpus.layouts.tables import PHONE_COLUMNS, Bounds, Columns, Listed, join_phones, join_recordings
from wavlm.corpus.layouts.target import add_class
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.layouts.trial import Trial, read_trial_lines, require_recording, to_answer
from wavlm.errors import BadDataError
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.encoding import printable

TRIAL_COLUMNS = ("enrol", "test", "is_target")


def read_generic(layout: GenericLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made from the relative paths, without suffix where that is enough to tell them apart."""
    speaker = PathPattern("speaker", layout.speaker, tree.root)
    part = PathPattern("part", layout.partition_pattern, tree.root)
    class_ = PathPattern("class", layout.class_pattern, tree.root)
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
            row.speaker or speaker.find(path) or UNKNOWN_SPEAKER,
            row.text,
            phones.get(path),
            split=row.split,
            language=row.language,
            part=row.part or part.find(path),
            target=_add_class(row.target, class_.find(path)),
        )


def read_generic_trials(layout: GenericLayout, tree: Tree, keys: Container[str]) -> Iterator[Trial]:
    """The pairs of the tables of trials. Raises BadDataError (LAYOUT) for one that names no recording."""
    paths = tree.audio(layout.audio)
    key_of_path = dict(zip(paths, keys_of(paths), strict=True))
    for table in layout.trials:
        where = PurePosixPath(find_spelled(tree.root, table).relative_to(tree.root))
        header = read_header(tree.root / where, TRIAL_COLUMNS)
        places = [header.index(name) for name in TRIAL_COLUMNS]
        names = Names(paths, where.parent)

        def parse(
            _line: int, text: str, places: Sequence[int] = places, names: Names = names, name: str = where.stem
        ) -> Trial:
            cells = [*text.split("\t"), *[""] * len(places)]
            enrol, test = (_named(names, cells[place], key_of_path, keys) for place in places[:2])
            return Trial(name, enrol, test, to_answer(cells[places[2]].strip()))

        yield from read_trial_lines(tree, where, parse, first_line=2)


def _named(names: Names, text: str, key_of_path: Mapping[PurePosixPath, str], keys: Container[str]) -> str:
    _, path = names.find(text)
    return require_recording(key_of_path[path] if path is not None else "", text, keys)


def check_generic(layout: GenericLayout, root: Path) -> None:
    """Raise BadDataError (LAYOUT) for a table that is not there or lacks a column. Reads one line of each."""
    if layout.transcripts:
        read_header(find_spelled(root, layout.transcripts), _columns(layout).names)
    for trials in layout.trials:
        read_header(find_spelled(root, trials), TRIAL_COLUMNS)
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
        layout.id_column,
        layout.text_column,
        layout.speaker_column,
        layout.language_column,
        layout.split_column,
        layout.partition_column,
        layout.class_column,
        layout.target_column,
    )


class PathPattern:
    """A regular expression with a group that every path has to fit; or none."""

    def __init__(self, name: str, text: str, root: Path) -> None:
        """`name`: of the group. `root`: the folder, for messages."""
        self._name, self._root = name, root
        self._pattern = re.compile(normal(text), re.DOTALL) if text else None  # a name may hold a line break

    def find(self, path: PurePosixPath) -> str:
        """What a path says; empty if no pattern asks. Raises BadDataError (LAYOUT) if the pattern finds nothing."""
        if self._pattern is None:
            return ""
        found = self._pattern.search(normal(str(path)))
        if found is None or not found[self._name]:
            raise BadDataError(
                "LAYOUT",
                f"the pattern {self._pattern.pattern!r} finds no {self._name} in {printable(str(path))}; in "
                f"{self._root}; narrow the glob or widen the pattern in the corpus spec",
            )
        return printable(found[self._name])


def _add_class(target: str | None, name: str) -> str | None:
    if not name:
        return target
    try:
        return add_class(target or "", name)
    except RowError as error:
        raise BadDataError("LAYOUT", f"{error}; in the tables of the corpus; {error.advice}") from error
