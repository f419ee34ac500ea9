"""Layout of Kaldi's data directories: `wav.scp`, and beside it `segments`, `utt2spk`, `text` and others.

The format: https://kaldi-asr.org/doc/data_prep.html. Nothing in it is run: a command is a bad line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from wavlm.corpus.layouts.account import TableAccount
from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.manifests import Listing, Manifest, check_listed, find_manifests
from wavlm.corpus.layouts.names import find_spelled
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import (
    Entry,
    RowError,
    check_region,
    parse_rows,
    refuse_audio,
    to_channel,
    to_name,
    to_seconds,
)
from wavlm.corpus.layouts.table import read_lines, shorten
from wavlm.corpus.layouts.tables import Bounds, check_bounds
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.manifests import KaldiLayout, ListedLayout

SCP = "wav.scp"
TO_THE_END = -1.0  # the end of a segment that runs to the end of its recording, as in Kaldi's extract-segments
CHANNELS = {"A": 1, "B": 2}
Value = TypeVar("Value")


class Audio(NamedTuple):
    """A recording of a `wav.scp`."""

    line: int
    path: str


class Segment(NamedTuple):
    """A line of `segments`. The channel is counted from 1; None: not given."""

    line: int
    recording: str
    start_s: float
    end_s: float | None
    channel: int | None


def read_kaldi(layout: KaldiLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the utterances."""
    listing = Listing(tree, layout.max_left_over_rows, layout.audio_root)
    for scp in find_manifests(with_scp(layout, tree.root), tree):
        read_directory(layout, tree, listing, scp)
    yield from listing.recordings()


def with_scp(layout: ListedLayout, root: Path) -> ListedLayout:
    """The layout with the `wav.scp` of each directory that it names."""

    def name(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{path.rstrip('/')}/{SCP}" if find_spelled(root, path).is_dir() else path for path in paths)

    return layout.model_copy(update={"manifests": name(layout.manifests), "valid": name(layout.valid)})


def read_directory(layout: ListedLayout, tree: Tree, listing: Listing, scp: Manifest) -> None:
    """Hand the utterances of a data directory to a listing. `scp`: its `wav.scp`. Raises as `read_listed`."""
    _Directory(layout, tree, listing, scp).read()


class _Directory:
    """One data directory: its tables, and what became of their rows."""

    def __init__(self, layout: ListedLayout, tree: Tree, listing: Listing, scp: Manifest) -> None:
        self._tree, self._listing, self._scp = tree, listing, scp
        self._bounds = Bounds(layout.max_left_over_rows, layout.max_without_row)

    def read(self) -> None:
        """Hand the utterances to the listing: segments, or whole recordings if there are no segments."""
        audio = self._table(self._scp.path.name, to_scp_audio)
        segments, channels = self._table("segments", to_segment), self._table("reco2file_and_channel", to_file_channel)
        if self._path("segments").exists():
            self._tree.tables.append(self._check(audio))
            manifest = Manifest(self._scp.folder / "segments", self._scp.split)
            made = [_cut(name, segment, audio, channels) for name, segment in segments.items()]
            unused = len(audio.keys() - {segment.recording for segment in segments.values()})
        else:
            manifest, unused = self._scp, 0
            made = [Entry(item.line, item.path, name, channel=channels.get(name)) for name, item in audio.items()]
        self._listing.take(manifest, self._described(made), lambda: unused)

    def _described(self, made: Sequence[Entry]) -> Iterator[Entry]:
        """The utterances with what the other tables say about them."""
        names = {entry.name for entry in made}
        speakers, languages, texts = (
            self._joined(name, names, parse)
            for name, parse in (("utt2spk", to_one_word), ("utt2lang", to_one_word), ("text", _to_text))
        )
        for entry in made:
            name = entry.name
            yield replace(entry, speaker=speakers.get(name, ""), language=languages.get(name, ""), text=texts.get(name))

    def _joined(self, name: str, names: set[str], parse: Callable[[int, str], str]) -> dict[str, str]:
        """What a table says about each utterance. Adds its account to the tree."""
        values = self._table(name, lambda line, rest: (line, parse(line, rest)))
        path = self._path(name)
        if not path.exists():
            return {}
        tally = Tally(str(self._scp.folder / name))
        for utterance, (line, _) in values.items():
            tally.add("path" if utterance in names else "left over", utterance, line)
        account = tally.account(len(names - values.keys()))
        self._tree.tables.append(check_bounds(path, account, self._bounds, len(names)))
        return {utterance: value for utterance, (_, value) in values.items()}

    def _check(self, audio: Mapping[str, Audio]) -> TableAccount:
        """The account of a `wav.scp` whose recordings are cut into segments."""
        tally = Tally(str(self._scp.path))
        for item in audio.values():
            found = self._listing.places.find(item.path, self._scp.folder)
            tally.add("left over" if found is None else "path", item.path, item.line)
        return check_listed(self._path(self._scp.path.name), tally.account(0), self._bounds.left_over_rows)

    def _table(self, name: str, parse: Callable[[int, str], Value]) -> dict[str, Value]:
        """A table of the directory: what `parse` makes of the rest of each line, by its first word.

        Empty if there is no such file. Raises BadDataError (LAYOUT) for bad lines.
        """
        return read_kaldi_table(self._path(name), parse)

    def _path(self, name: str) -> Path:
        return self._tree.root / self._scp.folder / name


def read_kaldi_table(path: Path, parse: Callable[[int, str], Value]) -> dict[str, Value]:
    """What `parse` makes of the rest of each line of a table, by the first word of the line.

    Empty if there is no such file. Raises BadDataError (LAYOUT) for bad lines.
    """
    found: dict[str, Value] = {}

    def take(line: int, text: str) -> Iterable[str]:
        word, *rest = text.split(maxsplit=1)
        if word in found:
            raise RowError(f"{shorten(word)} stands in an earlier line, too", "give each line a name of its own")
        found[word] = parse(line, rest[0].strip() if rest else "")
        return (word,)

    if path.exists():
        for _ in parse_rows(path, ((line, text) for line, text in read_lines(path) if text.strip()), take):
            pass
    return found


def to_scp_audio(line: int, rest: str) -> Audio:
    refuse_audio(rest)
    return Audio(line, rest)


def to_segment(line: int, rest: str) -> Segment:
    fields = rest.split()
    if len(fields) not in (3, 4):
        raise RowError(f"{len(fields) + 1} fields", "expected utterance, recording, start, end")
    start, end = to_seconds(fields[1], "the start"), to_seconds(fields[2], "the end")
    assert start is not None  # noqa: S101 - a word is not empty
    found = Segment(
        line=line,
        recording=fields[0],
        start_s=start,
        end_s=None if end == TO_THE_END else end,
        channel=to_channel(fields[3], first=0) if len(fields) == 4 else None,
    )
    check_region(found.start_s, found.end_s, found.channel)
    return found


def to_file_channel(_: int, rest: str) -> int:
    word = rest.rsplit(maxsplit=1)[-1] if rest else ""
    channel = CHANNELS.get(word) or to_channel(word)
    if channel is None or len(rest.split()) != 2:
        raise RowError(f"found {shorten(rest)!r}", "expected recording, file, and channel A or B")
    return channel


def to_one_word(_: int, rest: str) -> str:
    if len(rest.split()) != 1:
        raise RowError(f"found {shorten(rest)!r}", "expected an utterance and one word")
    return to_name(rest)


def _to_text(_: int, rest: str) -> str:
    return rest


def _cut(name: str, segment: Segment, audio: Mapping[str, Audio], channels: Mapping[str, int]) -> Entry:
    """The row of a segment. Its audio is missing if no line of `wav.scp` names its recording."""
    found = audio.get(segment.recording)
    return Entry(
        line=segment.line,
        audio=found.path if found else segment.recording,
        name=name,
        start_s=segment.start_s,
        end_s=segment.end_s,
        channel=segment.channel or channels.get(segment.recording),
        is_missing=found is None,
    )
