"""Layout of VoxPopuli: whole sessions of the European Parliament, and the publisher's lists of segments.

Names of files and columns are those of the publisher's `get_unlabelled_data.py` and `get_asr_data.py`. The unlabelled
list has tabs, those of transcripts have bars. A transcribed utterance is the region from its start to its end; the
publisher's script leaves out the pauses in it (column `vad`), which puts together what was not spoken so.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import Lost, find_list, in_order
from wavlm.corpus.layouts.named_columns import require_columns
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import RowError, check_region, parse_rows, to_name, to_seconds, to_split
from wavlm.corpus.layouts.table import MAX_FIELD_LETTERS, read_lines, shorten, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.publishers import VoxpopuliLayout

Cells = dict[str, str]
UNLABELLED = ("event_id", "segment_no", "start", "end")
TRANSCRIBED = ("session_id", "id_", "start_time", "end_time", "normed_text", "speaker_id", "split")
NOBODY = ("", "None", "nan")


def read_voxpopuli(layout: VoxpopuliLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the publisher's names of the segments: `<session>_<number>` and `<session>-<id>`.

    Raises BadDataError: LAYOUT for a list that cannot be read, TABLE_JOIN if more segments have no audio than the bound
    allows.
    """
    made: list[Recording] = []
    if layout.take == "unlabelled":
        for language in layout.languages:
            tree.audio(f"{layout.root}/raw_audios/{language}/**/*.ogg".lstrip("/"))
        made += _read(layout, tree, ("unlabelled_data", "unlabelled_v2.tsv.gz"), "\t", UNLABELLED)
    else:
        tree.audio(f"{layout.root}/raw_audios/original/**/*.ogg".lstrip("/"))
        for language in layout.languages:
            made += _read(layout, tree, ("transcribed_data", language, f"asr_{language}.tsv.gz"), "|", TRANSCRIBED)
    yield from in_order(made)


def _read(
    layout: VoxpopuliLayout, tree: Tree, names: Sequence[str], separator: str, columns: Sequence[str]
) -> list[Recording]:
    where = find_list(tree, layout.root, *names)
    lost = Lost(tree, Tally(str(where)))
    raw = PurePosixPath(layout.root) / "raw_audios"

    def parse(line: int, cells: Cells) -> Iterable[Recording]:
        item = (
            _unlabelled(layout, raw, cells)
            if layout.take == "unlabelled"
            else _transcribed(layout, raw, cells, names[1])
        )
        return (item,) if item and lost.keep(item.path, line) else ()

    found = list(parse_rows(tree.root / where, _rows(tree.root / where, separator, columns), parse))
    lost.check(layout.max_left_over_rows)
    return found


def _unlabelled(layout: VoxpopuliLayout, raw: PurePosixPath, cells: Cells) -> Recording | None:
    """A segment, whose session is the speaker; None if it is of another language or year."""
    session = cells["event_id"]
    language, year = session.rpartition("_")[2], session[:4]
    if language not in layout.languages or not _is_wanted(layout, session, year):
        return None
    start, end = _times(cells["start"], cells["end"])
    path = raw / language / year / f"{session}.ogg"
    name = f"{session}_{cells['segment_no']}"
    return Recording(key_of(name), path, to_name(session), language=language, start_s=start, end_s=end)


def _transcribed(layout: VoxpopuliLayout, raw: PurePosixPath, cells: Cells, language: str) -> Recording | None:
    """An utterance; None if it is of another year, or in no split of the publisher."""
    session, who = cells["session_id"], to_name(cells["speaker_id"])
    year = session[:4]
    if not cells["split"].strip() or not _is_wanted(layout, session, year):
        return None
    start, end = _times(cells["start_time"], cells["end_time"])
    return Recording(
        key_of(f"{session}-{cells['id_']}"),
        raw / "original" / year / f"{session}_original.ogg",
        to_name(session) if who in NOBODY else who,
        cells["normed_text"],
        split=to_split(cells["split"]),
        language=language,
        start_s=start,
        end_s=end,
    )


def _is_wanted(layout: VoxpopuliLayout, session: str, year: str) -> bool:
    if not year.isdigit() or "/" in session:
        raise RowError(f"a session whose name begins with no year: {shorten(session)!r}", "fetch the list again")
    return not layout.years or int(year) in layout.years


def _times(start: str, end: str) -> tuple[float, float]:
    found = to_seconds(start, "start"), to_seconds(end, "end")
    check_region(*found, None)
    if found[0] is None or found[1] is None:
        raise RowError("a segment without start or end", "fetch the list again")
    return found[0], found[1]


def _rows(path: Path, separator: str, columns: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    """The rows of a list with their lines: these columns."""
    csv.field_size_limit(MAX_FIELD_LETTERS)
    reader = csv.reader((f"{line}\n" for _, line in read_lines(path)), delimiter=separator)
    try:
        names = next(reader, [])
        require_columns(path, names, columns)
        places = [(column, names.index(column)) for column in columns]
        for cells in reader:
            if len(cells) < len(names):
                what = f"a row of {len(cells)} fields, expected {len(names)}"
                raise table_fault(path, reader.line_num, what, "fetch the list again")
            yield reader.line_num, {column: cells[place] for column, place in places}
    except csv.Error as error:
        raise table_fault(path, reader.line_num, f"no table: {error}", "fetch the list again") from error
