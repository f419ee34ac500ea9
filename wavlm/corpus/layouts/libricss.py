"""Layout of LibriCSS: sessions of played back LibriSpeech, or the segments of them that the publisher scores.

`meeting_info.txt` has a header, and start, end, speaker, utterance and text per line, separated by tabs.
`all_res.json` lists the segments of each session as first and last sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows, to_name, to_seconds
from wavlm.corpus.layouts.table import read_lines, table_fault
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.labelled import LibricssLayout
from wavlm.storage.encoding import printable

INFO, SEGMENTS = PurePosixPath("transcription", "meeting_info.txt"), "all_res.json"
Spoken = tuple[float, float, str, str]  # start and end in seconds, speaker, text


def read_libricss(layout: LibricssLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the sessions, and of segments `<session>_segment_<number>`, counted from 0.

    The target has `turns`, and `words`: start, end, speaker and text of each utterance. Raises BadDataError (LAYOUT).
    """
    root = PurePosixPath(layout.root)
    ending = PurePosixPath(layout.audio).parts
    segments = _read_segments(tree, root) if layout.segments else {}
    for path in tree.audio(str(root / "*" / "*" / layout.audio)):
        session = PurePosixPath(*path.parts[: -len(ending)])
        spoken = _read_info(tree, session / INFO)
        if not layout.segments:
            yield _recording(session.name, path, session, spoken)
            continue
        if session.name not in segments:
            raise table_fault(tree.root / root / SEGMENTS, 0, f"no segments of {session.name}", "fetch it again")
        for number, (start_s, end_s) in enumerate(segments[session.name]):
            inside = [
                (max(first_s, start_s) - start_s, min(last_s, end_s) - start_s, *rest)
                for first_s, last_s, *rest in spoken
                if min(last_s, end_s) > max(first_s, start_s)
            ]
            key = f"{session.name}_segment_{number}"
            yield _recording(key, path, session, inside, (start_s, end_s))


def _recording(
    name: str,
    path: PurePosixPath,
    session: PurePosixPath,
    spoken: Iterable[Sequence[Any]],
    region: tuple[float | None, float | None] = (None, None),
) -> Recording:
    words = [[round(first_s, 6), round(last_s, 6), *rest] for first_s, last_s, *rest in spoken]
    target = make_target(turns=sorted(it[:3] for it in words), words=sorted(words))
    part = printable(session.parent.name)
    start_s, end_s = region
    return Recording(
        key_of(name), path, UNKNOWN_SPEAKER, part=part, target=target, start_s=start_s or None, end_s=end_s
    )


def _read_info(tree: Tree, path: PurePosixPath) -> list[Spoken]:
    if tree.spelled(str(path)) is None:
        raise BadDataError(
            "LAYOUT",
            f"no file {printable(str(path))}, which says who speaks when; in {printable(str(tree.root))}; fetch it, or "
            "correct root of the layout in the corpus spec",
        )
    lines = read_lines(tree.root / path)
    next(lines, None)  # the header
    return list(parse_rows(tree.root / path, ((number, line) for number, line in lines if line.strip()), _parse))


def _parse(_: int, line: str) -> Iterable[Spoken]:
    fields = line.split("\t")
    if len(fields) != 5:
        raise RowError(f"{len(fields)} fields", "expected start, end, speaker, utterance and text, with tabs between")
    start_s, end_s = to_seconds(fields[0], "the start"), to_seconds(fields[1], "the end")
    if start_s is None or end_s is None or not 0 <= start_s < end_s < float("inf"):
        raise RowError(f"an utterance from {start_s} to {end_s} s", "expected an end behind its start")
    yield start_s, end_s, to_name(fields[2]), fields[4].strip()


def _read_segments(tree: Tree, root: PurePosixPath) -> dict[str, list[tuple[float, float]]]:
    path = tree.root / root / SEGMENTS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: [(int(first) / SAMPLE_RATE_HZ, int(last) / SAMPLE_RATE_HZ) for first, last in of_session]
            for name, of_session in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise table_fault(Path(path), 0, f"it does not list segments: {error}", "fetch it again") from error
