"""Turn recordings of a manifest into utterances: read, check, decode, resample, cut, join, exclude.

Only this module tolerates bad audio: it enters it into the ledger. `build_shards` counts the rejects and limits them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from wavlm.corpus.audio.reason import AudioError, NoteCode, Reason, refuse
from wavlm.corpus.inside import find_place
from wavlm.corpus.layouts import UNKNOWN_SPEAKER, path_to_text
from wavlm.corpus.regions import find_passage, find_region_fault
from wavlm.execution.fence import STALL_SECONDS, Fence, LostCallError
from wavlm.shards.account import Ledger, Taken
from wavlm.shards.coverage import Covered
from wavlm.shards.cuts import Cut, cut_at_pauses, cut_equally, has_room, num_pieces
from wavlm.shards.flac import PCM16_SCALE, Pcm16
from wavlm.shards.pauses import listen
from wavlm.shards.sound import NO_LEVELS, Levels, check_sound, levels_between
from wavlm.shards.spool import Spool
from wavlm.shards.utterance import Piece, Source, Utterance, channel_name, cut, join_consecutive
from wavlm.shards.waveform import MEAN, Block, Channels, Ending, name_channels, read_waveform
from wavlm.specs import ShardSpec

if TYPE_CHECKING:  # building a corpus needs libraries that reading shards does not need
    from wavlm.corpus.manifest import ManifestRow

FENCED_MODULES = ("wavlm.shards.waveform", "soxr")


@dataclass(frozen=True)
class Intake:
    """What is taken from the recordings of a corpus, and how long a file may keep a worker waiting."""

    channels: Channels = "mean"
    role: Literal["speech", "noise", "room", "evaluation"] = "speech"
    stall_seconds: float = STALL_SECONDS  # 0: decode without a second process
    root: Path | None = None  # where the manifest's paths start; None: at the corpus folder
    archives: Path | None = None  # where archives lie that audio was left in


MEAN_OF_SPEECH = Intake()


@dataclass(frozen=True)
class DecodedFile:
    """The samples of a file that was decoded to its end."""

    ending: Ending
    levels: Levels
    spool: Spool

    def read(self, piece: Piece) -> Pcm16:
        """The samples (T,) of a piece."""
        return self.read_channel(piece.channel, piece.start, piece.start + piece.samples)

    def read_channel(self, channel: int, start: int, stop: int) -> Pcm16:
        """Samples `start` to `stop` of a channel that was taken, (T,)."""
        return self.spool.read(self.ending.taken.index(channel), start, stop)

    def levels_of(self, piece: Piece, sample_rate_hz: int) -> Levels:
        """The levels (W, 3) of the channels whose mean a piece is; none if it is no mean."""
        if piece.channel != MEAN:
            return NO_LEVELS
        return levels_between(self.levels, piece.start, piece.start + piece.samples, sample_rate_hz)


class Recordings:
    """The recordings of one part, on their way into utterances."""

    def __init__(self, spec: ShardSpec, intake: Intake, corpus_dir: Path, scratch: Path) -> None:
        """`scratch`: a folder for the samples of long recordings, which are written there for a moment."""
        self.ledger = Ledger()
        self.covered: list[Covered] = []  # files of which there are regions
        self._spec = spec
        self._intake = intake
        self._root = intake.root or corpus_dir
        self._scratch = scratch
        self._rate_hz = spec.sample_rate_hz
        self._min_samples = round(spec.min_seconds * self._rate_hz)
        self._max_samples = round(spec.max_seconds * self._rate_hz)

    def utterances(self, rows: Sequence[ManifestRow]) -> Generator[Utterance]:
        """The utterances of some recordings. What is in none of them is in the ledger afterwards.

        Rows of one file that stand together are decoded once.
        Raises BadDataError (FILE_CHANGED) if a file is missing or is not the one that the manifest describes, and
        ServiceMissingError (STORAGE_STALLED) if no file can be read.
        """
        fence = Fence(self._intake.stall_seconds, FENCED_MODULES)
        try:
            files = (list(found) for _, found in groupby(rows, key=lambda row: row.path))
            pieces = (piece for found in files for piece in self._pieces(found, fence))
            for utterance in join_consecutive(pieces, self._spec):
                samples = len(utterance.waveform)
                if samples < self._min_samples and not utterance.is_cut:
                    for piece in utterance.pieces:
                        self.ledger.lose(utterance.key, piece, self._too_short_error(samples, piece.key))
                else:
                    self.ledger.use(utterance)
                    yield utterance
        finally:
            fence.close()

    def _pieces(self, rows: Sequence[ManifestRow], fence: Fence) -> Iterator[Utterance]:
        """The pieces of the recordings of one file that can be used."""
        with Spool(self._scratch) as spool:
            try:
                file = self._decode(rows, fence, spool)
            except AudioError as error:
                for row in rows:
                    self.ledger.refuse(row.key, error)
                return
            takes = [self._take(row, file.ending) for row in rows]
            regions = [taken for row, taken in zip(rows, takes, strict=True) if row.is_region]
            if regions:
                self.covered.append(_cover(rows[0].path, file.ending, regions))
            for row, taken in zip(rows, takes, strict=True):
                if fault := self._find_fault(row, taken):
                    self.ledger.refuse(row.key, fault, taken)
                else:
                    self.ledger.admit(row.key, taken)
                    yield from self._pieces_of(row, taken, file)

    def _pieces_of(self, row: ManifestRow, taken: Taken, file: DecodedFile) -> Iterator[Utterance]:
        """The pieces of one recording that can be used."""
        for source in sources_of(row, taken, self._channels_of(row)):
            for part, piece in cut(source, self._find_cuts(source.whole, file), self._rate_hz):
                pcm = file.read(piece)
                try:
                    levels = file.levels_of(piece, self._rate_hz)
                    check_sound(
                        pcm, levels, _name(row, part.key), self._rate_hz, is_speech=self._intake.role == "speech"
                    )
                except AudioError as error:
                    self.ledger.lose(part.key, piece, error)
                else:
                    yield as_utterance(part, piece, pcm)

    def _find_cuts(self, whole: Piece, file: DecodedFile) -> tuple[Cut, ...]:
        if whole.samples <= self._max_samples:
            return ()
        lengths = self._min_samples, self._max_samples
        if self._spec.cut == "equal" or self._intake.role != "speech" or not has_room(*lengths, self._rate_hz):
            return cut_equally(whole.start, whole.samples, self._max_samples)
        frames = listen(partial(file.read_channel, whole.channel), whole.start, whole.samples, self._rate_hz)
        return cut_at_pauses(frames, whole.start, whole.samples, *lengths)

    def _decode(self, rows: Sequence[ManifestRow], fence: Fence, spool: Spool) -> DecodedFile:
        """Decode a file into the spool. Raises AudioError if it must not be used for training."""
        first = rows[0]
        path = find_place(self._root, first.path, self._intake.archives)
        wanted = dict.fromkeys(self._channels_of(row) for row in rows)
        read = partial(read_waveform, sample_rate_hz=self._rate_hz)
        levels: list[Levels] = []
        ending: Ending | None = None
        try:
            for item in fence.iterate(read, path, first.key, first.sha256, *wanted):
                if isinstance(item, Block):
                    spool.add(item.pcm)
                    levels.append(item.levels)
                elif isinstance(item, Ending):
                    ending = item
        except LostCallError as error:
            reason = Reason.DECODER_STALLED if error.kind == "stalled" else Reason.DECODER_CRASHED
            raise refuse(reason, error.detail, path.name) from None
        assert ending is not None  # noqa: S101 - it comes last
        return DecodedFile(ending, np.concatenate(levels) if levels else NO_LEVELS, spool)

    def _channels_of(self, row: ManifestRow) -> Channels:
        return self._intake.channels if row.channel is None else row.channel

    def _take(self, row: ManifestRow, ending: Ending) -> Taken:
        wanted = self._channels_of(row)
        passage = find_passage(row.start_s, row.end_s, ending.samples, self._rate_hz)
        is_clipped = row.end_s is not None and row.end_s * self._rate_hz > ending.samples + 1
        notes = (str(NoteCode.REGION_CLIPPED),) if is_clipped else ()
        return Taken(ending, passage, name_channels(wanted, ending.num_channels), notes)

    def _find_fault(self, row: ManifestRow, taken: Taken) -> AudioError | None:
        """Why a recording that decodes is not used at all."""
        ending, samples = taken.ending, taken.passage.samples
        if missing := {*taken.channels} - {*ending.taken}:
            what = f"channel {missing.pop()} of {ending.num_channels}"
            return refuse(Reason.CHANNEL_MISSING, what, _name(row, row.key))
        if fault := find_region_fault(row.start_s, row.end_s, ending.samples, self._rate_hz):
            return refuse(fault.reason, f"{row.key} is {fault.what}", Path(row.path).name)
        shortest = samples // (count := num_pieces(samples, self._max_samples))
        if count > 1 and shortest < self._min_samples:
            return self._too_short_error(shortest, row.key)
        return None

    def _too_short_error(self, samples: int, key: str) -> AudioError:
        what = f"utterance of {samples / self._rate_hz:.3f} s, expected at least {self._spec.min_seconds}"
        return refuse(Reason.TOO_SHORT, what, key)


def sources_of(row: ManifestRow, taken: Taken, channels: Channels) -> Iterator[Source]:
    """What is cut from a recording: its one channel or mean, or each channel with a key and a speaker of its own.

    Texts and phones are those of all channels together, so with `each` no channel of several has them.
    """
    passage = taken.passage
    for channel in taken.channels:
        whole = Piece(row.key, offset=0, start=passage.start, samples=passage.samples, channel=channel)
        if channels == "each":
            speaker = row.speaker if row.speaker in ("", UNKNOWN_SPEAKER) else channel_name(row.speaker, channel)
            key = channel_name(row.key, channel)
        else:
            key, speaker = row.key, row.speaker
        text, phones = (row.text, row.phones) if len(taken.channels) == 1 else (None, None)
        yield Source(key, speaker, row.split, text, phones, whole, row.language)


def _cover(path: str, ending: Ending, takes: Sequence[Taken]) -> Covered:
    spans = tuple((channel, *taken.passage) for taken in takes for channel in taken.channels)
    return Covered(path_to_text(path), ending.samples, ending.num_channels, spans)


def as_utterance(part: Source, piece: Piece, pcm: Pcm16) -> Utterance:
    """A piece of a recording with its samples (T,)."""
    waveform = pcm * PCM16_SCALE
    return Utterance(
        part.key, part.speaker, part.split, waveform, part.text, part.phones, (piece,), language=part.language
    )


def _name(row: ManifestRow, key: str) -> str:
    """What an error names: the file, and the piece of it."""
    file = Path(row.path).name
    return file if key == row.key else f"{key} of {file}"
