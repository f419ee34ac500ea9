"""Decoders of one recording: soundfile, PyAV, and PyAV for raw G.722. All give blocks of float32.

Shapes: C channels, T samples.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.audio.file_bytes import FileBytes, View
from wavlm.corpus.audio.part import OTHER, FlacCheck, Part
from wavlm.corpus.audio.reason import AudioError, Reason, refuse

BLOCK_SECONDS = 10
Block = NDArray[np.float32]  # (C, T)
CHECKED = frozenset({"HTK", "SDS"})  # formats without a mark whose length libsndfile checks itself
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>|0x[0-9a-f]+")


@dataclass(frozen=True)
class Header:
    """What a decoder says of a recording."""

    subtype: str
    sample_rate_hz: int
    channels: int
    num_samples: int | None  # per channel; None: not known


class Decoder(Protocol):
    """What reads one recording. Its methods raise whatever they like."""

    header: Header

    def blocks(self) -> Iterator[Block]:
        """The samples, (C, T)."""

    def close(self) -> None:
        """Free what is held."""


class SoundfileDecoder:
    """A recording that soundfile reads."""

    def __init__(self, view: View, part: Part, name: str) -> None:
        self._file: Any = soundfile.SoundFile(view)
        if part.format == OTHER and self._file.format not in CHECKED:
            what = f"the content may be {self._file.format}, whose length cannot be checked"
            raise refuse(Reason.AUDIO_UNREADABLE, what, name)
        self._flac, self._name = part.flac, name
        frames = self._file.frames
        known = frames if 0 <= frames < 1 << 62 else None
        self.header = Header(self._file.subtype, self._file.samplerate, self._file.channels, known)

    def blocks(self) -> Iterator[Block]:
        """The samples, (C, T). Raises AudioError if their MD5 is not that of the FLAC header."""
        step = BLOCK_SECONDS * self.header.sample_rate_hz
        check = Md5Check(self._flac) if self._flac is not None else None
        while True:
            kind = "float32" if check is None else "int32"
            samples = self._file.read(step, dtype=kind, always_2d=True)  # (T, C)
            if len(samples) == 0:
                break
            if check is None:
                yield cast(Block, samples.T)
            else:
                check.add(samples)
                yield cast(Block, (samples.astype(np.float32) * np.float32(2**-31)).T)
        if check is not None:
            check.finish(self._name)

    def close(self) -> None:
        """Free the decoder."""
        self._file.close()


class Md5Check:
    """Compares the samples of a FLAC with the MD5 in its header."""

    def __init__(self, flac: FlacCheck) -> None:
        self._flac = flac
        self._digest = hashlib.md5(usedforsecurity=False)

    def add(self, samples: NDArray[np.int32]) -> None:
        """Add samples (T, C), left-justified in 32 bits."""
        num_bytes = (self._flac.bits_per_sample + 7) // 8
        pcm = (samples >> (32 - self._flac.bits_per_sample)).astype("<i4").view(np.uint8)
        self._digest.update(pcm.reshape(-1, 4)[:, :num_bytes].tobytes())

    def finish(self, name: str) -> None:
        """Raise AudioError if the MD5 is another one. A header without MD5 passes."""
        expected = self._flac.md5
        if expected and self._digest.digest() != expected:
            what = f"the MD5 of the samples is {self._digest.hexdigest()}, not {expected.hex()}"
            raise refuse(Reason.AUDIO_CORRUPT, what, name)


@contextmanager
def decoder_errors(reason: Reason, name: str, view: View | None = None) -> Iterator[None]:
    """Turn whatever is raised by reading a file into an AudioError of this reason, which names the file.

    The text holds no address of an object, so that the same file gives the same message in every run.
    """
    try:
        yield
    except AudioError:
        raise
    except Exception as error:  # decoders raise what they like, and one bad file must not end a stage
        of_disk = view.error if view is not None and view.error is not None else error
        if type(of_disk) is OSError:  # FFmpeg's errors are subclasses
            raise refuse(Reason.AUDIO_UNREADABLE, f"it cannot be read: {of_disk.strerror}", name) from error
        raise refuse(reason, f"the decoder says: {_text_of(error)}", name) from error


def _text_of(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    first_line = str(text).strip().split("\n")[0].rstrip(".")
    return _ADDRESS.sub("...", first_line) or type(error).__name__


def open_decoder(data: FileBytes, part: Part, view: View) -> Decoder:
    """The decoder of a recording: what soundfile does not open is offered to PyAV. Raises what the decoder raises."""
    refusal: Exception | None = None
    if part.decoder == "soundfile":
        try:
            return SoundfileDecoder(view, part, data.name)
        except soundfile.SoundFileError as error:
            if part.format == OTHER or view.error is not None:
                raise
            refusal = error
            view.seek(0)
    import av  # imported here because most corpora need only soundfile

    from wavlm.corpus.audio.av_decoder import AvDecoder, G722Decoder

    if part.decoder == "g722":
        return G722Decoder(view)
    try:
        return AvDecoder(view, part, data.name)
    except av.FFmpegError:
        if refusal is not None:
            raise refusal from None
        raise
