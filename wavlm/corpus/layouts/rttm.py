"""Layout of conversations: audio files, who speaks when (RTTM), and which stretches are scored (UEM).

Fields of a line, separated by spaces (NIST, The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan,
appendix A; `md-eval.pl` reads both):

    RTTM: SPEAKER <recording> <channel> <start> <duration> <NA> <NA> <speaker> <NA> <NA>
    UEM:  <recording> <channel> <start> <end>

Lines of other types than SPEAKER (SPKR-INFO, NON-SPEECH, ...) are no turns. `;` and `#` begin a comment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from wavlm.corpus.layouts.generic import PathPattern
from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.manifests import find_listed
from wavlm.corpus.layouts.names import keys_of, normal
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows, to_name, to_seconds
from wavlm.corpus.layouts.sounds import without_suffix
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.labelled import RttmLayout
from wavlm.storage.encoding import printable

TURN, TURN_FIELDS, SCORED_FIELDS = "SPEAKER", 8, 4
COMMENTS = (";", "#")
Item = TypeVar("Item")
_Parse = Callable[[Sequence[str]], tuple[str, Item] | None]
Turn = tuple[float, float, str]  # start and end in seconds, speaker
Stretch = tuple[float, float]


def read_rttm(layout: RttmLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made from the paths. A recording has several speakers, so that its speaker is unknown.

    Raises BadDataError (LAYOUT) for lines that say nothing usable, and for recordings without turns unless the layout
    allows them.
    """
    paths = tree.audio(layout.audio)
    names = _names(tree, paths, PathPattern("name", layout.name_pattern, tree.root))
    turns = _gather(tree, find_listed(tree, layout.rttm, "rttm"), names, to_turn)
    scored = _gather(tree, [path for glob in layout.uem for path in tree.files(glob)], names, to_stretch)
    part = PathPattern("part", layout.partition_pattern, tree.root)
    for path, key in zip(paths, keys_of(paths), strict=True):
        found = turns.get(path)
        if found is None and layout.without_turns == "leave out":
            tree.leave([path], "excluded")
            continue
        if found is None and layout.without_turns == "error":
            raise _without_turns(tree, path)
        target = make_target(turns=sorted(found or ()), scored=sorted(scored[path]) if path in scored else None)
        yield Recording(key, path, UNKNOWN_SPEAKER, part=part.find(path), target=target)


def read_rttm_file(path: Path) -> dict[str, list[Turn]]:
    """The turns of one RTTM file by the name of their recording. Raises BadDataError (LAYOUT) with all bad lines."""
    turns: dict[str, list[Turn]] = {}
    for name, turn in parse_rows(path, _lines(path), lambda _, text: parse_line(to_turn, text)):
        turns.setdefault(name, []).append(turn)
    return turns


def read_uem_file(path: Path) -> dict[str, list[Stretch]]:
    """The scored stretches of one UEM file by the name of their recording. Raises as `read_rttm_file`."""
    scored: dict[str, list[Stretch]] = {}
    for name, stretch in parse_rows(path, _lines(path), lambda _, text: parse_line(to_stretch, text)):
        scored.setdefault(name, []).append(stretch)
    return scored


def read_turns(tree: Tree, files: Iterable[PurePosixPath]) -> dict[str, list[Turn]]:
    """The turns of some RTTM files by the name of their recording, in the order of the lines."""
    turns: dict[str, list[Turn]] = {}
    for file in files:
        tally = Tally(str(file))
        for name, turn in parse_rows(
            tree.root / file, _lines(tree.root / file), lambda _, text: parse_line(to_turn, text)
        ):
            tally.add("path", name, 0)
            turns.setdefault(name, []).append(turn)
        tree.tables.append(tally.account(0))
    return turns


def _names(tree: Tree, paths: Sequence[PurePosixPath], pattern: PathPattern) -> Mapping[str, PurePosixPath]:
    """Recordings by name. Raises BadDataError (LAYOUT) if two have one: nobody knows whose turns they are."""
    names: dict[str, PurePosixPath] = {}
    for path in paths:
        name = normal(pattern.find(path) or PurePosixPath(without_suffix(path)).name)
        if (first := names.setdefault(name, path)) is not path:
            raise BadDataError(
                "LAYOUT",
                f"{printable(str(first))} and {printable(str(path))} have one name, by which RTTM files name them; in "
                f"{printable(str(tree.root))}; narrow the glob in the corpus spec, or rename one",
            )
    return names


def _gather(
    tree: Tree, files: Iterable[PurePosixPath], names: Mapping[str, PurePosixPath], parse: _Parse[Item]
) -> dict[PurePosixPath, list[Item]]:
    """What the lines of some files say, by recording. Adds their accounts to the tree."""
    gathered: dict[PurePosixPath, list[Item]] = {}
    for file in files:
        found = _read(tree, file, names, parse)
        if twice := gathered.keys() & found.keys():
            name = printable(str(min(twice)))
            raise table_fault(tree.root / file, 0, f"another file is about {name}, too", "name one file per recording")
        gathered |= found
    return gathered


def _read(
    tree: Tree, file: PurePosixPath, names: Mapping[str, PurePosixPath], parse: _Parse[Item]
) -> dict[PurePosixPath, list[Item]]:
    tally, found = Tally(str(file)), dict[PurePosixPath, list[Item]]()

    def take(line: int, text: str) -> Iterable[tuple[str, Item]]:
        for made in parse_line(parse, text):
            tally.add("path" if made[0] in names else "left over", made[0], line)
            yield made

    for name, item in parse_rows(tree.root / file, _lines(tree.root / file), take):
        if name in names:
            found.setdefault(names[name], []).append(item)
    tree.tables.append(tally.account(len(names) - len(found)))
    return found


def parse_line(parse: _Parse[Item], text: str) -> Iterable[tuple[str, Item]]:
    """What a line says; nothing if it is a comment, or of another type."""
    made = None if text.lstrip().startswith(COMMENTS) else parse(text.split())
    return () if made is None else (made,)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in read_lines(path) if line.strip())


def to_turn(fields: Sequence[str]) -> tuple[str, Turn] | None:
    """The recording and the turn of a line; None if it is no turn."""
    if fields[0] != TURN:
        return None
    if len(fields) < TURN_FIELDS:
        raise RowError(f"{len(fields)} fields: {shorten(' '.join(fields))}", f"expected at least {TURN_FIELDS}")
    start, duration = _seconds(fields[3], "start"), _seconds(fields[4], "duration")
    if duration == 0:
        return None  # nobody speaks
    # Without the rounding 3.168 + 0.8 has 16 digits.
    return normal(fields[1]), (start, round(start + duration, 6), to_name(fields[7]))


def to_stretch(fields: Sequence[str]) -> tuple[str, Stretch] | None:
    if len(fields) < SCORED_FIELDS:
        raise RowError(f"{len(fields)} fields: {shorten(' '.join(fields))}", f"expected {SCORED_FIELDS}")
    start, end = _seconds(fields[2], "start"), _seconds(fields[3], "end")
    if end <= start:
        raise RowError(f"a stretch from {start} to {end} s", "expected an end behind its start")
    return normal(fields[0]), (start, end)


def _seconds(text: str, name: str) -> float:
    found = to_seconds(text, name)
    if found is None or not 0 <= found < float("inf"):
        raise RowError(f"{name} is {shorten(text)}", "expected 0 or more seconds")
    return found


def _without_turns(tree: Tree, path: PurePosixPath) -> BadDataError:
    return BadDataError(
        "LAYOUT",
        f"no RTTM file names {printable(str(path))}; in {printable(str(tree.root))}; add its turns, or set "
        "without_turns of the layout in the corpus spec",
    )
