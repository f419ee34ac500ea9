"""Layout of conversations in Kaldi's data directories: recordings of `wav.scp`, with the turns of their speakers.

CALLHOME, Switchboard and SRE are prepared so by Kaldi's recipes (egs/callhome_diarization). Turns come from `rttm`, or
from `segments` and `utt2spk`. `reco2dur` has a recording and its seconds per line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from wavlm.corpus.layouts.kaldi import (
    SCP,
    Audio,
    read_kaldi_table,
    to_file_channel,
    to_one_word,
    to_scp_audio,
    to_segment,
    with_scp,
)
from wavlm.corpus.layouts.manifests import Listing, Manifest, find_manifests
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import Entry, RowError, parse_rows, to_seconds
from wavlm.corpus.layouts.rttm import Turn, parse_line, to_stretch, to_turn
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.labelled import KaldiTurnsLayout

SLACK_SECONDS = 0.5  # by which a turn may end behind its recording: labels are rounded
Item = TypeVar("Item")


def read_kaldi_turns(layout: KaldiTurnsLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the recordings. Raises BadDataError (LAYOUT) for lines that name none, or cannot be."""
    listing = Listing(tree, layout.max_left_over_rows, layout.audio_root)
    for scp in find_manifests(with_scp(layout, tree.root), tree):
        _read_directory(layout, tree, listing, scp)
    yield from listing.recordings()


def _read_directory(layout: KaldiTurnsLayout, tree: Tree, listing: Listing, scp: Manifest) -> None:
    folder = tree.root / scp.folder
    audio = read_kaldi_table(folder / SCP, to_scp_audio)
    seconds = read_kaldi_table(folder / "reco2dur", _to_duration)
    channels = read_kaldi_table(folder / "reco2file_and_channel", to_file_channel)
    if (folder / layout.rttm).exists():
        turns = _gather(folder / layout.rttm, _bounded(to_turn, audio, seconds))
    else:
        turns = _from_segments(folder, audio, seconds)
    scored = _gather(folder / layout.uem, _bounded(to_stretch, audio, {})) if (folder / layout.uem).exists() else {}
    entries = [
        Entry(
            item.line,
            item.path,
            name,
            channel=channels.get(name),
            part=scp.folder.name,
            target=make_target(
                turns=sorted(turns.get(name, [])), scored=sorted(scored[name]) if name in scored else None
            ),
        )
        for name, item in audio.items()
    ]
    listing.take(scp, entries)


_Parse = Callable[[Sequence[str]], tuple[str, Item] | None]


def _bounded(parse: _Parse[Item], audio: Mapping[str, Audio], seconds: Mapping[str, float]) -> _Parse[Item]:
    """The same, for recordings that `wav.scp` names, and ends within them. Item: start and end come first."""

    def take(fields: Sequence[str]) -> tuple[str, Item] | None:
        found = parse(fields)
        if found is not None:
            _check(found[0], found[1][1], audio, seconds)  # type: ignore[index] # a turn or a stretch
        return found

    return take


def _check(name: str, end_s: float, audio: Mapping[str, Audio], seconds: Mapping[str, float]) -> None:
    if name not in audio:
        raise RowError(f"the recording {shorten(name)} is not in {SCP}", f"add it to {SCP}, or delete the line")
    if end_s > seconds.get(name, end_s) + SLACK_SECONDS:
        raise RowError(f"it ends at {end_s:g} s, and reco2dur says that {shorten(name)} has {seconds[name]:g} s")


def _gather(path: Path, parse: _Parse[Item]) -> dict[str, list[Item]]:
    """What the lines of an RTTM or a UEM file say, by recording. Raises BadDataError (LAYOUT)."""
    found: dict[str, list[Item]] = {}
    lines = ((number, line) for number, line in read_lines(path) if line.strip())
    for name, item in parse_rows(path, lines, lambda _, text: parse_line(parse, text)):
        found.setdefault(name, []).append(item)
    return found


def _from_segments(folder: Path, audio: Mapping[str, Audio], seconds: Mapping[str, float]) -> dict[str, list[Turn]]:
    """The turns of `segments`, by the speakers of `utt2spk`. Raises BadDataError (LAYOUT)."""
    path = folder / "segments"
    if not path.exists():
        raise table_fault(path, 0, "there is neither an RTTM file nor this one", "add one of them: it has the turns")
    speakers = read_kaldi_table(folder / "utt2spk", to_one_word)
    found: dict[str, list[Turn]] = {}

    def take(line: int, text: str) -> Iterable[tuple[str, Turn]]:
        name, _, rest = text.strip().partition(" ")
        segment = to_segment(line, rest)
        if segment.end_s is None:
            raise RowError("a segment without an end", "write its end: turns have one")
        if segment.end_s <= segment.start_s:
            raise RowError(
                f"a segment from {segment.start_s:g} to {segment.end_s:g} s", "expected an end behind its start"
            )
        if name not in speakers:
            raise RowError(f"utt2spk has no speaker of {shorten(name)}", "add it to utt2spk, or delete the line")
        _check(segment.recording, segment.end_s, audio, seconds)
        yield segment.recording, (segment.start_s, segment.end_s, speakers[name])

    lines = ((number, line) for number, line in read_lines(path) if line.strip())
    for recording, turn in parse_rows(path, lines, take):
        found.setdefault(recording, []).append(turn)
    return found


def _to_duration(_: int, rest: str) -> float:
    seconds = to_seconds(rest, "the duration")
    if seconds is None or not 0 < seconds < float("inf"):
        raise RowError(f"a duration of {shorten(rest)}", "expected seconds above 0")
    return seconds
