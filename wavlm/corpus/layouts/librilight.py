"""Layout of Libri-Light: chapters of books, cut at the pauses that the JSON beside each of them lists.

The publisher's `data_preparation/README.md` describes the JSON: `speaker`, and `voice_activity`, a list of onsets and
offsets in seconds. Its own `cut_by_vad.py` puts stretches of voice together without the pauses between them; here a
recording is one region of its chapter, so that nothing is put together that was not spoken so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from wavlm.corpus.layouts.json_lines import Object, load_object
from wavlm.corpus.layouts.manifests import region_name
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import Entry, RowError, to_name
from wavlm.corpus.layouts.sounds import without_suffix
from wavlm.corpus.layouts.table import read_text, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.publishers import LibrilightLayout
from wavlm.storage.encoding import printable

MAKE_AGAIN = "fetch the archive again"


class Span(NamedTuple):
    """A stretch of a file, in seconds."""

    start: float
    end: float


def read_librilight(layout: LibrilightLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of the chapter's path and the times of the region.

    Raises BadDataError: LAYOUT for a JSON that is none, TABLE_JOIN if more chapters have no JSON than the bound allows.
    """
    chapters = tree.audio(f"{layout.root}/**/*.flac".lstrip("/"))
    beside = set(tree.files("**/*.json"))
    without = [path for path in chapters if path.with_suffix(".json") not in beside]
    _check_without(layout, without, len(chapters), tree.root)
    for path in chapters:
        name = without_suffix(path)
        if path.with_suffix(".json") not in beside:
            yield Recording(key_of(name), path, _folder_of_speaker(path))
            continue
        speaker, voices = _read_side_file(tree.root / path.with_suffix(".json"))
        for start, end in join_voices(voices, layout):
            region = region_name(Entry(line=0, audio=path.name, start_s=start, end_s=end))
            who = speaker or _folder_of_speaker(path)
            yield Recording(key_of(f"{name}{region}"), path, who, start_s=start, end_s=end)


def join_voices(voices: Sequence[Span], layout: LibrilightLayout) -> list[Span]:
    """Regions without long pauses, of at most `max_seconds` unless one stretch is longer. None overlaps another."""
    joined: list[Span] = []
    for voice in sorted(voices):
        last = joined[-1] if joined else Span(-math.inf, -math.inf)
        pause, length = voice.start - last.end, voice.end - last.start
        if pause < 0 or (pause <= layout.max_pause_seconds and length <= layout.max_seconds):
            joined[-1] = Span(last.start, max(last.end, voice.end))
        else:
            joined.append(voice)
    return _widen(joined, layout.margin_seconds)


def _widen(spans: Sequence[Span], margin: float) -> list[Span]:
    """Spans with a margin on each side, at most half of the pause there. What follows the last one is not known."""
    if not spans:
        return []
    ends = [-spans[0].start, *(span.end for span in spans[:-1])]  # nothing else has a part of the first pause
    befores = [span.start - end for span, end in zip(spans, ends, strict=True)]
    afters = [*befores[1:], 0.0]
    return [
        Span(round(span.start - min(margin, before / 2), 3), round(span.end + min(margin, after / 2), 3))
        for span, before, after in zip(spans, befores, afters, strict=True)
    ]


def _read_side_file(path: Path) -> tuple[str, list[Span]]:
    """The speaker and the stretches of voice of a chapter."""
    try:
        found = load_object(read_text(path))
        return to_name(found.get("speaker")), _voices(found)
    except RowError as error:
        raise table_fault(path, 0, str(error), error.advice) from error


def _voices(found: Object) -> list[Span]:
    listed = found.get("voice_activity")
    if not isinstance(listed, list):
        raise RowError("no list voice_activity", MAKE_AGAIN)
    return [_span(item) for item in listed]


def _span(item: object) -> Span:
    is_pair = isinstance(item, list) and len(item) == 2 and all(type(number) in (int, float) for number in item)
    if not is_pair or not 0 <= item[0] < item[1] < math.inf:  # type: ignore[index] # it is a pair
        raise RowError(f"a stretch of voice that is no onset and offset: {item}", MAKE_AGAIN)
    return Span(float(item[0]), float(item[1]))  # type: ignore[index] # it is a pair


def _folder_of_speaker(path: PurePosixPath) -> str:
    """The speaker that the tree says, in which chapters lie in `<speaker>/<book>`."""
    return printable(path.parts[-3]) if len(path.parts) > 2 else UNKNOWN_SPEAKER


def _check_without(layout: LibrilightLayout, without: Sequence[PurePosixPath], count: int, root: Path) -> None:
    if len(without) > layout.max_without_json * count:
        raise BadDataError(
            "TABLE_JOIN",
            f"{len(without)} of {count} chapters have no JSON beside them, such as {printable(str(without[0]))}; in "
            f"{printable(str(root))}; unpack the whole archive, or raise max_without_json in the corpus spec, which is "
            f"{layout.max_without_json}",
        )
