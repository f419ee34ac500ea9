"""Read a file as int16 blocks of the channels that are taken, at the rate of the shards.

This runs in the process behind the fence.

Shapes: C channels of the recording, K channels that are taken, T samples, W windows of 0.1 s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from wavlm.corpus.audio.file_bytes import Place, hold, read_pieces
from wavlm.corpus.audio.held import HELD_BYTES
from wavlm.corpus.audio.stream import AudioStream, open_audio, open_stream
from wavlm.errors import BadDataError
from wavlm.shards.flac import FULL_SCALE, Pcm16, Waveform
from wavlm.shards.sound import NO_LEVELS, LevelMeter, Levels
from wavlm.specs import SAMPLE_RATE_HZ

Channels: TypeAlias = Literal["mean", "each", "first"] | int  # `wavlm.specs.CorpusSpec.channels`
MEAN = 0  # the number of the channel that is the mean of all, or the only one


@dataclass(frozen=True, eq=False)
class Block:
    """Some seconds of the channels that are taken."""

    pcm: Pcm16  # (K, T)
    levels: Levels  # (W, 3), of the windows that end here; (0, 3) if no mean of several channels is taken


@dataclass(frozen=True)
class Ending:
    """What is known of a file that was decoded to its end."""

    samples: int  # per channel, at the rate of the shards
    num_channels: int
    taken: tuple[int, ...]  # channels, counted from 1, or `MEAN`, in order; none if those asked for are missing
    clipped: int  # samples above full scale that were clipped to it, over all channels
    notes: tuple[str, ...]  # each a `wavlm.corpus.audio.reason.NoteCode`


def read_waveform(
    path: Place, key: str, sha256: str, *wanted: Channels, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> Iterator[Block | Ending | None]:
    """The blocks of a file, then its ending. None is a sign of life while the file is hashed.

    A file of at most `HELD_BYTES` is read once: it is decoded from what was hashed. A larger one is read twice.

    `wanted`: what its recordings take, which may differ. `key`: of one of them, for messages.

    Raises AudioError if it must not be used for training, and BadDataError (FILE_CHANGED) if the file is missing or
    is not the one that the manifest describes.
    """
    before = _state(path, key)
    held = yield from _check_hash(path, key, sha256)
    with open_audio(path) if held is None else nullcontext(open_stream(hold(held, path.name))) as stream:
        num_channels = stream.info.channels
        taken = tuple(sorted({number for choice in wanted for number in choose_channels(choice, num_channels)}))
        yield from _blocks(stream, taken, sample_rate_hz)
        yield Ending(
            samples=resampled(stream.num_samples, stream.info.sample_rate_hz, sample_rate_hz),
            num_channels=num_channels,
            taken=taken,
            clipped=stream.clipped,
            notes=tuple(str(note.code) for note in stream.notes),
        )
    if _state(path, key) != before:
        raise _file_changed_error(key, path, "the file was written to while it was read")


def read_whole(path: Path, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Waveform:
    """The mean of the channels of a file at this rate, (T,), within -1 .. 1: the samples that shards hold.

    Raises AudioError if it cannot be decoded to its end.
    """
    pieces = list(stream_pcm(path, sample_rate_hz))
    pcm = np.concatenate(pieces) if pieces else np.empty(0, np.int16)
    return cast(Waveform, pcm.astype(np.float32) / np.float32(FULL_SCALE))


def stream_pcm(path: Path, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[Pcm16]:
    """Like `read_whole`, in 16-bit pieces (T,) of some seconds each."""
    with open_audio(path) as stream:
        for block in _blocks(stream, (MEAN,), sample_rate_hz):
            yield block.pcm[0]


def resampled(num_samples: int, rate_hz: int, sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """Number of samples after resampling: floor(samples * new rate / rate + 1/2)."""
    return (2 * num_samples * sample_rate_hz + rate_hz) // (2 * rate_hz)


def choose_channels(channels: Channels, num_channels: int) -> tuple[int, ...]:
    """The channels to take: counted from 1, or `MEAN`; none if the one that is asked for is missing."""
    if channels == "mean":
        return (MEAN,)
    if channels == "each":
        return tuple(range(1, num_channels + 1))
    number = 1 if channels == "first" else channels
    return (number,) if number <= num_channels else ()


def name_channels(wanted: Channels, num_channels: int) -> tuple[int, ...]:
    """As `choose_channels`, but a channel that is missing is named, too."""
    return choose_channels(wanted, num_channels) or ((1,) if wanted == "first" else (cast(int, wanted),))


def _blocks(stream: AudioStream, taken: Sequence[int], sample_rate_hz: int) -> Iterator[Block]:
    rate_hz = stream.info.sample_rate_hz
    resampler = _Resampler(rate_hz, sample_rate_hz, len(taken))
    meter = LevelMeter(rate_hz) if MEAN in taken and stream.info.channels > 1 else None
    for block in stream.blocks():
        pcm = resampler.add(_take(block, taken))
        yield Block(pcm, meter.add(block) if meter else NO_LEVELS)
    last = Block(resampler.finish(), meter.finish() if meter else NO_LEVELS)
    if last.pcm.size or last.levels.size:
        yield last


def _take(block: Waveform, taken: Sequence[int]) -> Waveform:
    """The channels that are taken, (K, T), of all channels, (C, T)."""
    single = block[[number - 1 for number in taken if number != MEAN]]
    if MEAN not in taken:
        return single
    mean = cast(Waveform, block.mean(axis=0, dtype=np.float32, keepdims=True))
    return np.concatenate([mean, single]) if single.size else mean


class _Resampler:
    """Makes int16 blocks at a new rate of float32 blocks at any rate, with soxr's setting HQ.

    The samples are those that one call for the whole recording gives: equal bit by bit at 64 rates from 4 to 192 kHz.
    """

    def __init__(self, rate_hz: int, sample_rate_hz: int, num_channels: int) -> None:
        self._num_channels = num_channels
        self._stream: Any = None
        if rate_hz != sample_rate_hz and num_channels:
            import soxr  # imported here because reading shards does not need it

            self._stream = soxr.ResampleStream(rate_hz, sample_rate_hz, num_channels, dtype="float32", quality="HQ")

    def add(self, block: Waveform, *, last: bool = False) -> Pcm16:
        """The samples (K, T) that are ready after this block (K, T)."""
        if self._stream is not None:
            resampled = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
            block = resampled.reshape(-1, self._num_channels).T
        # Resampling may exceed full scale a little.
        pcm: Pcm16 = np.rint(block * np.float32(FULL_SCALE)).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        return pcm

    def finish(self) -> Pcm16:
        """The last samples, (K, T)."""
        return self.add(np.empty((self._num_channels, 0), np.float32), last=True)


def _state(place: Place, key: str) -> tuple[int, int, int]:
    path = place if isinstance(place, Path) else place.archive
    if not path.is_file():  # opening a pipe would wait for a writer
        raise _file_changed_error(key, place, "the file is missing")
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _check_hash(place: Place, key: str, sha256: str) -> Generator[None, None, bytearray | None]:
    """Compare the digest of a file. Returns its bytes, if they are few enough to be held."""
    digest, held = hashlib.sha256(), bytearray()
    is_held = True
    for piece in read_pieces(place):
        digest.update(piece)
        is_held = is_held and len(held) + len(piece) <= HELD_BYTES
        if is_held:
            held += piece
        else:
            held.clear()
        yield None
    if digest.hexdigest() != sha256:
        raise _file_changed_error(key, place, f"sha256 is {digest.hexdigest()}, the manifest says {sha256}")
    return held if is_held else None


def _file_changed_error(key: str, place: Place, what: str) -> BadDataError:
    """An error and not a reject, because a key must always stand for the same bytes."""
    return BadDataError("FILE_CHANGED", f"{what}; recording {key} at {place}; make the corpus again")
