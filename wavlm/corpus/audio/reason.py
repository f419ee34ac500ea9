"""Why a recording is not used, and what is worth a note about one that is used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable


class Reason(StrEnum):
    """Why a recording is not used. `rejects.parquet` holds no other reason."""

    AUDIO_UNREADABLE = "AUDIO_UNREADABLE"  # no bytes, no regular file, or a format that no decoder knows
    AUDIO_EMPTY = "AUDIO_EMPTY"  # a valid file without samples
    AUDIO_TRUNCATED = "AUDIO_TRUNCATED"  # the container announces more bytes or samples than the file has
    AUDIO_CORRUPT = "AUDIO_CORRUPT"  # a checksum is wrong, bytes are missing inside, or the decoder fails
    AUDIO_TRAILING = "AUDIO_TRAILING"  # bytes behind the audio that are neither audio nor a known tag
    AUDIO_PARTS = "AUDIO_PARTS"  # recordings behind each other in one file that differ in rate or channels
    AUDIO_STREAMS = "AUDIO_STREAMS"  # several audio streams beside each other in one file
    AUDIO_NONFINITE = "AUDIO_NONFINITE"  # NaN or infinity
    AUDIO_RANGE = "AUDIO_RANGE"  # far above full scale
    AUDIO_SILENT = "AUDIO_SILENT"  # zeros or another constant
    AUDIO_CANCELS = "AUDIO_CANCELS"  # the channels have opposite phases, so that their mean is nearly silent
    CHANNEL_MISSING = "CHANNEL_MISSING"  # it does not have the channel that its row or the corpus spec asks for
    REGION_EMPTY = "REGION_EMPTY"  # a region that does not end behind its start
    REGION_OUTSIDE = "REGION_OUTSIDE"  # a region that is not in its file
    DECODER_STALLED = "DECODER_STALLED"  # no audio came for a minute: the decoder or the disk hangs
    DECODER_CRASHED = "DECODER_CRASHED"  # the decoder ended its process
    AUDIO_CHANNELS = "AUDIO_CHANNELS"  # more channels than a recording of speech has
    AUDIO_RATE = "AUDIO_RATE"  # a sample rate that no recorder uses
    TOO_SHORT = "TOO_SHORT"  # good, but below the minimum length: excluded, not rejected


class NoteCode(StrEnum):
    """What is worth a note about a recording that is used."""

    LENGTH_RECOVERED = "LENGTH_RECOVERED"  # the header announces fewer samples than the file holds: all are used
    BYTES_SKIPPED = "BYTES_SKIPPED"  # a part of a frame before the first whole one: the start of a broadcast
    REGION_CLIPPED = "REGION_CLIPPED"  # a region ends a little behind the end of its file: it ends there
    PARTS_JOINED = "PARTS_JOINED"  # several recordings behind each other in one file: all are used


@dataclass(frozen=True)
class Note:
    """A remark about a recording, for the account of its corpus."""

    code: NoteCode
    detail: str


class AudioError(BadDataError):
    """A recording that must not be used; `code` is a `Reason`."""


ADVICE: dict[Reason, str] = {
    Reason.AUDIO_UNREADABLE: "convert it to WAV or FLAC, or leave it out",
    Reason.AUDIO_EMPTY: "leave it out",
    Reason.AUDIO_TRUNCATED: "copy or download it again, or leave it out",
    Reason.AUDIO_CORRUPT: "copy or download it again, or leave it out",
    Reason.AUDIO_TRAILING: "cut off what is no audio, or leave it out",
    Reason.AUDIO_PARTS: "split it into one file per part",
    Reason.AUDIO_STREAMS: "extract the stream you want into a file of its own",
    Reason.AUDIO_NONFINITE: "make it again from its source, or leave it out",
    Reason.AUDIO_RANGE: "scale it to -1 .. 1, or leave it out",
    Reason.AUDIO_SILENT: "leave it out",
    Reason.AUDIO_CANCELS: "set `channels` in the corpus spec to one of them, or to each",
    Reason.CHANNEL_MISSING: "correct the channel in its row, or `channels` in the corpus spec, or leave it out",
    Reason.REGION_EMPTY: "correct its times in the list of regions, or leave it out",
    Reason.REGION_OUTSIDE: "correct its times or its file in the list of regions, or leave it out",
    Reason.DECODER_STALLED: "check its disk, convert it to WAV or FLAC, or leave it out",
    Reason.DECODER_CRASHED: "convert it to WAV or FLAC, or leave it out",
    Reason.AUDIO_CHANNELS: "take its channels apart",
    Reason.AUDIO_RATE: "correct its sample rate, or leave it out",
    Reason.TOO_SHORT: "lower min_seconds, or leave it out",
}


def refuse(reason: Reason, what: str, name: str) -> AudioError:
    """The error for a recording: what is wrong, the name of its file, and what to do."""
    return AudioError(reason, f"{what}; in {printable(name)}; {ADVICE[reason]}")
