"""Layout of GigaSpeech: episodes in Opus, and the publisher's list of their segments, `GigaSpeech.json`.

The list has gigabytes, so it is read one episode at a time. Its fields are those of the publisher's README and of
`toolkits/kaldi/extract_meta.py`: of an episode `aid`, `path`, `subsets` and `segments`; of a segment `sid`, `speaker`,
`begin_time`, `end_time`, `text_tn` and `subsets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.lhotse_audio import to_list
from wavlm.corpus.layouts.listed import Lost, find_list, in_order
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import RowError, check_region, parse_rows, to_name, to_seconds, to_text
from wavlm.corpus.layouts.table import shorten, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.publishers import GigaspeechLayout

LIST = "GigaSpeech.json"
NO_SPEECH = frozenset({"<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"})  # the publisher's complete list of such tags
HELD_BACK = frozenset({"{DEV}", "{TEST}"})  # for evaluation, as the publisher says
NOBODY = ("", "N/A")
Episode = dict[str, Any]


def read_gigaspeech(layout: GigaspeechLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the segments, or of the episodes.

    Raises BadDataError: LAYOUT for a list that cannot be read, TABLE_JOIN if more recordings have no audio than the
    bound allows.
    """
    where = find_list(tree, layout.root, LIST)
    tree.audio(f"{layout.root}/audio/**/*.opus".lstrip("/"))
    lost = Lost(tree, Tally(str(where), "episode"))

    def parse(number: int, episode: Episode) -> Iterable[Recording]:
        path = PurePosixPath(layout.root) / to_text(episode.get("path"))
        made = list(_recordings(layout, episode, path))
        return made if lost.keep(path, number, len(made)) else ()

    recordings = list(parse_rows(tree.root / where, _episodes(tree.root / where), parse))
    lost.check(layout.max_left_over_rows)
    yield from in_order(recordings)


def _recordings(layout: GigaspeechLayout, episode: Episode, path: PurePosixPath) -> Iterator[Recording]:
    """What is used of an episode."""
    name, marks = to_name(episode.get("aid")), _marks(episode)
    if not name or not path.suffix:
        raise RowError(f"an episode without aid or path: {shorten(name or str(path))}", "fetch the list again")
    if marks & HELD_BACK:
        return
    if layout.take == "episodes":
        yield Recording(key_of(name), path, name)
        return
    for segment in to_list(episode.get("segments"), "segments"):
        if f"{{{layout.subset}}}" in _marks(segment) and not _marks(segment) & HELD_BACK:
            yield from _segment(segment, path, name)


def _segment(segment: Episode, path: PurePosixPath, episode: str) -> Iterator[Recording]:
    """The region of a segment; none if it is tagged as no speech."""
    text, name = to_text(segment.get("text_tn")), to_name(segment.get("sid"))
    start, end = (to_seconds(segment.get(field), field) for field in ("begin_time", "end_time"))
    if not name or start is None or end is None:
        raise RowError(f"a segment without sid, begin_time or end_time: {shorten(name)}", "fetch the list again")
    check_region(start, end, None)
    if NO_SPEECH & set(text.split()):
        return
    who = to_name(segment.get("speaker"))
    yield Recording(key_of(name), path, episode if who in NOBODY else who, text, start_s=start, end_s=end)


def _marks(item: Episode) -> set[str]:
    """The subsets that an episode or a segment is in, such as `{XL}`."""
    found = item.get("subsets")
    if not isinstance(found, list):
        raise RowError("no list subsets", "fetch the list again")
    return {str(mark) for mark in found}


def _episodes(path: Path) -> Iterator[tuple[int, Episode]]:
    """The episodes of the list with their numbers from 1."""
    import ijson  # imported here because other layouts do not need it

    number = 0
    try:
        with path.open("rb") as file:
            for number, episode in enumerate(ijson.items(file, "audios.item", use_float=True), 1):
                yield number, episode
    except (ijson.JSONError, OSError) as error:
        what = f"no JSON behind episode {number}: {shorten(str(error))}"
        raise table_fault(path, 0, what, "fetch the list again") from error
    if not number:
        raise table_fault(path, 0, "it lists no audios", "fetch the list again")
