"""Turn recordings of a manifest into utterances: read, check, decode, resample, cut, join, exclude.

Only this module tolerates bad audio: it enters it into the ledger. `build_shards` counts the rejects and limits them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from wavlm.corpus.audio.reason import AudioError, Reason, refuse
from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.execution.fence import STALL_SECONDS, Fence, LostCallError
from wavlm.shards.account import Ledger
from wavlm.shards.flac import PCM16_SCALE, Pcm16
from wavlm.shards.sound import NO_LEVELS, Levels, check_sound, levels_between
from wavlm.shards.spool import Spool
from wavlm.shards.utterance import Piece, Source, Utterance, channel_name, cut, join_consecutive, num_pieces
from wavlm.shards.waveform import Block, Channels, Ending, read_waveform
from wavlm.specs import SAMPLE_RATE_HZ, ShardSpec

if TYPE_CHECKING:  # building a corpus needs libraries that reading shards does not need
    from wavlm.corpus.manifest import ManifestRow

FENCED_MODULES = ("wavlm.shards.waveform", "soxr")


@dataclass(frozen=True)
class Intake:
    """What is taken from the recordings of a corpus, and how long a file may keep a worker waiting."""

    channels: Channels = "mean"
    role: Literal["speech", "noise", "room"] = "speech"
    stall_seconds: float = STALL_SECONDS  # 0: decode without a second process
    root: Path | None = None  # where the manifest's paths start; None: at the corpus folder


MEAN_OF_SPEECH = Intake()


class Recordings:
    """The recordings of one part, on their way into utterances."""

    def __init__(self, spec: ShardSpec, intake: Intake, corpus_dir: Path, scratch: Path) -> None:
        """`scratch`: a folder for the samples of long recordings, which are written there for a moment."""
        self.ledger = Ledger()
        self._spec = spec
        self._intake = intake
        self._root = intake.root or corpus_dir
        self._scratch = scratch
        self._min_samples = round(spec.min_seconds * SAMPLE_RATE_HZ)
        self._max_samples = round(spec.max_seconds * SAMPLE_RATE_HZ)

    def utterances(self, rows: Sequence[ManifestRow]) -> Generator[Utterance]:
        """The utterances of some recordings. What is in none of them is in the ledger afterwards.

        Raises BadDataError (FILE_CHANGED) if a file is missing or is not the one that the manifest describes, and
        ServiceMissingError (STORAGE_STALLED) if no file can be read.
        """
        fence = Fence(self._intake.stall_seconds, FENCED_MODULES)
        try:
            pieces = (piece for row in rows for piece in self._pieces(row, fence))
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

    def _pieces(self, row: ManifestRow, fence: Fence) -> Iterator[Utterance]:
        """The pieces of one recording that can be used."""
        with Spool(self._scratch) as spool:
            try:
                ending, levels = self._decode(row, fence, spool)
            except AudioError as error:
                self.ledger.refuse(row.key, error)
                return
            if fault := self._find_fault(row, ending):
                self.ledger.refuse(row.key, fault, ending)
                return
            self.ledger.admit(row.key, ending)
            for number, source in enumerate(sources_of(row, ending, self._intake.channels)):
                for part, piece in cut(source, self._max_samples):
                    pcm = spool.read(number, piece.start, piece.start + piece.samples)
                    here = levels_between(levels, piece.start, piece.start + piece.samples)
                    try:
                        check_sound(pcm, here, _name(row, part.key), is_speech=self._intake.role == "speech")
                    except AudioError as error:
                        self.ledger.lose(part.key, piece, error)
                    else:
                        yield as_utterance(part, piece, pcm)

    def _decode(self, row: ManifestRow, fence: Fence, spool: Spool) -> tuple[Ending, Levels]:
        """Decode a recording into the spool. Raises AudioError if it must not be used for training."""
        path = self._root / row.path
        levels: list[Levels] = []
        ending: Ending | None = None
        try:
            for item in fence.iterate(read_waveform, path, row.key, row.sha256, self._intake.channels):
                if isinstance(item, Block):
                    spool.add(item.pcm)
                    levels.append(item.levels)
                elif isinstance(item, Ending):
                    ending = item
        except LostCallError as error:
            reason = Reason.DECODER_STALLED if error.kind == "stalled" else Reason.DECODER_CRASHED
            raise refuse(reason, error.detail, path.name) from None
        assert ending is not None  # noqa: S101 - it comes last
        return ending, np.concatenate(levels) if levels else NO_LEVELS

    def _find_fault(self, row: ManifestRow, ending: Ending) -> AudioError | None:
        """Why a recording that decodes is not used at all."""
        if not ending.taken:
            what = f"channel {self._intake.channels} of {ending.num_channels}"
            return refuse(Reason.CHANNEL_MISSING, what, _name(row, row.key))
        shortest = ending.samples // (count := num_pieces(ending.samples, self._max_samples))
        if count > 1 and shortest < self._min_samples:
            return self._too_short_error(shortest, row.key)
        return None

    def _too_short_error(self, samples: int, key: str) -> AudioError:
        what = f"utterance of {samples / SAMPLE_RATE_HZ:.3f} s, expected at least {self._spec.min_seconds}"
        return refuse(Reason.TOO_SHORT, what, key)


def sources_of(row: ManifestRow, ending: Ending, channels: Channels) -> Iterator[Source]:
    """What is cut from a recording: its one channel or mean, or each channel with a key and a speaker of its own.

    Texts and phones are those of all channels together, so with `each` no channel of several has them.
    """
    for channel in ending.taken:
        whole = Piece(row.key, offset=0, start=0, samples=ending.samples, channel=channel)
        if channels == "each":
            speaker = row.speaker if row.speaker in ("", UNKNOWN_SPEAKER) else channel_name(row.speaker, channel)
            key = channel_name(row.key, channel)
        else:
            key, speaker = row.key, row.speaker
        text, phones = (row.text, row.phones) if len(ending.taken) == 1 else (None, None)
        yield Source(key, speaker, row.split, text, phones, whole, row.language)


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
