"""A part of a file: one recording as its container describes it, and the bytes from which a decoder reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from wavlm.corpus.audio.file_bytes import Chunk, FileBytes
from wavlm.corpus.audio.reason import AudioError, Note, NoteCode, Reason, refuse

DecoderName = Literal["soundfile", "av", "g722"]


@dataclass(frozen=True)
class FlacCheck:
    """What a FLAC stream says of its samples: their MD5 as interleaved PCM of this width."""

    bits_per_sample: int
    md5: bytes


@dataclass(frozen=True)
class Extent:
    """Where the audio of a recording stands in the file."""

    start: int
    end: int
    next: int  # the position behind the recording: after its audio and the chunks that follow
    announced: int | None = None  # the bytes of audio in a header that says too few


@dataclass(frozen=True)
class Part:
    """One recording in a file. Several may stand behind each other."""

    format: str
    chunks: tuple[Chunk, ...]  # the file that the decoder reads
    end: int  # the position in the file behind this recording
    decoder: DecoderName = "soundfile"
    num_samples: int | None = None  # per channel, counted in the structure of the container; None: not known
    rate_hz: int | None = None  # of `num_samples`, if a decoder may give another rate
    trimmed_to: int | None = None  # samples behind this one are padding of the last block of a codec
    num_skipped: int = 0  # samples in front that come from what was added to `chunks`
    is_measured: bool = False  # whether `num_samples` was counted and not read from one field
    flac: FlacCheck | None = None
    complaint: AudioError | None = None  # what is wrong behind the samples, raised if all of them decode
    notes: tuple[Note, ...] = ()

    def with_recovery(self, extent: Extent, frame_bytes: int | None) -> Part:
        """This part, with a note if its header announces less audio than the file holds.

        `frame_bytes` is the size of one sample of all channels; None for codecs with other units.
        """
        if extent.announced is None:
            return self
        unit, divisor = ("samples", frame_bytes) if frame_bytes else ("bytes", 1)
        found = (extent.end - extent.start) // divisor
        return replace(self, notes=(*self.notes, recovery(extent.announced // divisor, found, unit)))


# Read the structure of a recording that starts at a position.
Walker = Callable[[FileBytes, int], Part]


def truncation(promise: str, data: FileBytes) -> AudioError:
    """The error for a file that is shorter than its container says."""
    return refuse(Reason.AUDIO_TRUNCATED, f"{promise}, the file has {data.size} bytes", data.name)


def recovery(announced: int, found: int, unit: str) -> Note:
    """The note about a header whose length is smaller than what the file holds."""
    detail = f"the header announces {announced} {unit}, the file holds {found}; all are used"
    return Note(NoteCode.LENGTH_RECOVERED, detail)
