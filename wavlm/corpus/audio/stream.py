"""Open an audio file: what it is, and its samples in blocks of bounded memory. No length in a header is believed.

Shapes: C channels, T samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from wavlm.corpus.audio.decoders import Block, Header, decoder_errors, open_decoder
from wavlm.corpus.audio.file_bytes import FileBytes, Place, View, open_bytes
from wavlm.corpus.audio.part import Part
from wavlm.corpus.audio.reason import AudioError, Note, NoteCode, Reason, refuse
from wavlm.corpus.audio.survey import survey

UNKNOWN = -1
MAX_CHANNELS = 8
MIN_RATE_HZ, MAX_RATE_HZ = 4000, 192000
MAX_PEAK = 2.0  # lossy decoders and floating-point files may exceed full scale a little; that is clipped


@dataclass(frozen=True)
class AudioInfo:
    """What a file is, by its containers."""

    format: str
    subtype: str
    sample_rate_hz: int
    channels: int
    num_samples: int  # per channel; -1: only a decode tells (`probe` decodes)
    is_measured: bool  # counted in frames or by decoding; False: from a header whose length is possible


class AudioStream:
    """The samples of an open file. `num_samples`, `clipped` and `notes` are complete when `blocks` has ended."""

    def __init__(self, data: FileBytes, parts: list[Part], info: AudioInfo) -> None:
        self.info = info
        self.num_samples = 0  # decoded so far, per channel
        self.clipped = 0  # samples above full scale that were clipped to it, over all channels
        self.notes: tuple[Note, ...] = ()
        self._data = data
        self._parts = parts

    def blocks(self) -> Iterator[Block]:
        """Blocks of about 10 s, (C, T) float32 within -1 .. 1. Raises AudioError, also behind the last block."""
        for part in self._parts:
            for block in _decode_part(self._data, part):
                peak = _check_amplitude(block, self._data.name)
                if peak > 1:
                    self.clipped += int((np.abs(block) > 1).sum())
                    block = block.clip(-1, 1)  # noqa: PLW2901 - the block goes on in its place
                self.num_samples += block.shape[1]
                yield block
            self.notes += part.notes
        if len(self._parts) > 1:
            detail = f"{len(self._parts)} recordings stand behind each other in the file; all are used"
            self.notes += (Note(NoteCode.PARTS_JOINED, detail),)
        if self.num_samples == 0:
            raise refuse(Reason.AUDIO_EMPTY, "the file has 0 samples", self._data.name)


def probe(path: Place) -> AudioInfo:
    """What a file is and how long. Raises AudioError for a file that `open_audio` refuses at once.

    The samples are counted in the structure of the file where that is possible: per hour of audio 0.1 s of one core for
    WAV and Ogg, 0.3 s for MP3. Otherwise they are decoded: 14 s for Opus in WebM, 4 s for WMA, 2 s for Matroska FLAC.
    """
    *_, info = probe_in_steps(path)
    assert info is not None  # noqa: S101 - it comes last
    return info


def probe_in_steps(path: Place) -> Iterator[AudioInfo | None]:
    """As `probe`: the info comes last. None is a sign of life while a file is decoded, which may take minutes."""
    with open_bytes(path) as data:
        stream = open_stream(data)
        if stream.info.num_samples >= 0:
            yield stream.info
            return
        for _ in stream.blocks():
            yield None
        yield replace(stream.info, num_samples=stream.num_samples, is_measured=True)


@contextmanager
def open_audio(path: Place) -> Iterator[AudioStream]:
    """Open a file for reading its samples once. Raises AudioError."""
    with open_bytes(path) as data:
        yield open_stream(data)


def open_stream(data: FileBytes) -> AudioStream:
    """The samples of an open file, to be read once. Raises AudioError."""
    with decoder_errors(Reason.AUDIO_CORRUPT, data.name):
        parts = list(survey(data, partial(_is_opened, data)))
    headers = [_read_header(data, part) for part in parts]
    for header in headers:
        _check_header(header, headers[0], data.name)
    counts = [_num_samples(part, header) for part, header in zip(parts, headers, strict=True)]
    known = [count for count in counts if count is not None]
    first = headers[0]
    info = AudioInfo(
        format=parts[0].format,
        subtype=first.subtype,
        sample_rate_hz=first.sample_rate_hz,
        channels=first.channels,
        num_samples=sum(known) if len(known) == len(counts) else UNKNOWN,
        is_measured=len(parts) > 1 or parts[0].is_measured,
    )
    if info.num_samples == 0:
        raise refuse(Reason.AUDIO_EMPTY, "the file has 0 samples", data.name)
    return AudioStream(data, parts, info)


def _is_opened(data: FileBytes, part: Part) -> bool:
    try:
        _read_header(data, part)
    except AudioError:
        return False
    return True


def _read_header(data: FileBytes, part: Part) -> Header:
    view = View(data, part.chunks)
    with decoder_errors(Reason.AUDIO_UNREADABLE, data.name, view), closing(open_decoder(data, part, view)) as decoder:
        return decoder.header


def _num_samples(part: Part, header: Header) -> int | None:
    count = part.num_samples if part.num_samples is not None else header.num_samples
    if count is not None and part.rate_hz:
        count = count * header.sample_rate_hz // part.rate_hz
    return count if count is None or not part.trimmed_to else min(count, part.trimmed_to)


def _decode_part(data: FileBytes, part: Part) -> Iterator[Block]:
    """The samples of one recording, all of them. Raises AudioError if there are fewer or more than there must be."""
    view = View(data, part.chunks)
    count, skip = 0, part.num_skipped
    with decoder_errors(Reason.AUDIO_CORRUPT, data.name, view), closing(open_decoder(data, part, view)) as decoder:
        expected = _num_samples(part, decoder.header)
        limit = part.trimmed_to
        for block in decoder.blocks():
            kept = block[:, skip:]
            skip -= block.shape[1] - kept.shape[1]
            kept = kept if not limit else kept[:, : max(limit - count, 0)]
            count += kept.shape[1]
            if kept.shape[1]:
                yield kept
    if view.error is not None:
        raise refuse(Reason.AUDIO_UNREADABLE, f"it cannot be read: {view.error.strerror}", data.name)
    is_exact = part.decoder != "av" or part.num_samples is not None  # a header of MP4 may be off by some padding
    if expected is not None and count != expected and is_exact:
        raise refuse(Reason.AUDIO_CORRUPT, f"{count} samples decoded, expected {expected}", data.name)
    if part.complaint is not None:
        raise part.complaint


def _check_header(header: Header, first: Header, name: str) -> None:
    """Raise AudioError for an unusable header, before any audio is decoded."""
    rate_hz, channels = header.sample_rate_hz, header.channels
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise refuse(Reason.AUDIO_RATE, f"{rate_hz} Hz, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}", name)
    if not 1 <= channels <= MAX_CHANNELS:
        raise refuse(Reason.AUDIO_CHANNELS, f"{channels} channels, expected at most {MAX_CHANNELS}", name)
    if (rate_hz, channels) != (first.sample_rate_hz, first.channels):
        before = f"{first.channels} channels at {first.sample_rate_hz} Hz"
        what = f"a recording of {channels} channels at {rate_hz} Hz follows one of {before}"
        raise refuse(Reason.AUDIO_PARTS, what, name)


def _check_amplitude(block: Block, name: str) -> float:
    """The peak of a block. Raises AudioError if it is not finite or far above full scale."""
    peak = float(np.abs(block).max(initial=0.0))
    if not np.isfinite(peak):
        num_bad = int(block.size - np.isfinite(block).sum())
        raise refuse(Reason.AUDIO_NONFINITE, f"{num_bad} samples are not finite", name)
    if peak > MAX_PEAK:
        raise refuse(Reason.AUDIO_RANGE, f"amplitude {peak:.7g}, expected at most {MAX_PEAK}", name)
    return peak
