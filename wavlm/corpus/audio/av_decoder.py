"""Recordings that PyAV (FFmpeg) reads: MP4, WebM, WMA, AMR and others, and raw G.722.

Shapes: C channels, T samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from wavlm.corpus.audio.decoders import BLOCK_SECONDS, Block, Header
from wavlm.corpus.audio.file_bytes import View
from wavlm.corpus.audio.formats import FFMPEG_DEMUXERS, OTHER_DEMUXERS
from wavlm.corpus.audio.part import OTHER, Part
from wavlm.corpus.audio.reason import Reason, refuse

# What an integer sample is divided by, by the name of FFmpeg's sample format without its p for planes.
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63, "flt": 1.0, "dbl": 1.0}
G722_RATE_HZ = 16000
G722_PACKET_BYTES = 1 << 16
WITH_LENGTH = frozenset({"MP4", "TTA"})  # containers that hold the number of samples of a stream
MAX_GAP_SECONDS = 0.02  # times in ASF are whole milliseconds, and a frame has 23 ms or more
MAX_START_SECONDS = 0.15  # of the first frame
MAX_PADDING = 8192  # samples: the delay of a codec and the rest of its last frame


class AvDecoder:
    """The only audio stream of a file. Priming samples are skipped as the container says."""

    def __init__(self, view: View, part: Part, name: str) -> None:
        demuxers = OTHER_DEMUXERS if part.format == OTHER else FFMPEG_DEMUXERS
        options = {"format_whitelist": demuxers, "err_detect": "explode"}
        self._container: Any = av.open(cast(Any, view), options=options, metadata_errors="replace")
        self._name = name
        streams = [stream for stream in self._container.streams if stream.type == "audio"]
        if len(streams) != 1:
            reason = Reason.AUDIO_STREAMS if streams else Reason.AUDIO_UNREADABLE
            raise refuse(reason, f"{len(streams)} audio streams", name)
        self._stream: Any = streams[0]
        context = self._stream.codec_context
        if context is None:
            raise refuse(Reason.AUDIO_UNREADABLE, "there is no decoder for its codec", name)
        context.thread_count = 1
        context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
        if part.trimmed_to:  # FFmpeg would take the padding off once more if the last packet is short already
            context.options = {**context.options, "flags2": "+skip_manual"}
        self._is_timed = part.format == "ASF"
        self._has_length = part.format in WITH_LENGTH and self._stream.duration is not None
        self.header = Header(context.name.upper(), context.sample_rate, context.channels, self._announced())

    def _announced(self) -> int | None:
        """The samples that the stream announces; None if FFmpeg only estimates them."""
        if not self._has_length or not self._stream.codec_context.sample_rate:
            return None
        seconds = float(self._stream.duration * self._stream.time_base)
        return round(seconds * float(self._stream.codec_context.sample_rate)) or None  # 0: in fragments

    def blocks(self) -> Iterator[Block]:
        """The samples, (C, T), without the rest of the last frame that the container calls padding.

        Raises AudioError if rate or channels change, or if the stream ends too early.
        """
        held: list[Block] = []
        count, total = 0, 0
        announced = self.header.num_samples
        times = Times(self._stream, self.header.sample_rate_hz, self._name) if self._is_timed else None
        for frame in self._frames():
            if times is not None:
                times.check(frame, total)
            samples = _to_float(frame)
            held.append(samples)
            count, total = count + samples.shape[1], total + samples.shape[1]
            if count >= BLOCK_SECONDS * self.header.sample_rate_hz and (announced is None or total <= announced):
                yield np.concatenate(held, axis=1)
                held, count = [], 0
        if times is not None:
            times.check_end(total)
        if announced is not None and total + MAX_PADDING < announced:
            what = f"{total} samples decoded, the container announces {announced}"
            raise refuse(Reason.AUDIO_TRUNCATED, what, self._name)
        if held:
            padding = 0 if announced is None or total - announced > MAX_PADDING else max(total - announced, 0)
            yield np.concatenate(held, axis=1)[:, : count - padding]

    def _frames(self) -> Iterator[Any]:
        expected = (self.header.sample_rate_hz, self.header.channels)
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                raise refuse(Reason.AUDIO_CORRUPT, "the container marks a packet as damaged", self._name)
            for frame in packet.decode():
                found = (frame.sample_rate, frame.layout.nb_channels)
                if found != expected:
                    what = f"{found[1]} channels at {found[0]} Hz follow {expected[1]} at {expected[0]} Hz"
                    raise refuse(Reason.AUDIO_PARTS, what, self._name)
                yield frame

    def close(self) -> None:
        """Free the decoder."""
        self._container.close()


class Times:
    """Compares the times of frames with the samples before them. An ASF demuxer skips damaged packets in silence."""

    def __init__(self, stream: Any, rate_hz: int, name: str) -> None:
        self._stream, self._rate_hz, self._name = stream, rate_hz, name
        self._first_s: float | None = None

    def check(self, frame: Any, num_samples: int) -> None:
        """Raise AudioError if this frame is later than the samples before it make it."""
        if frame.pts is None:
            return
        at_s = float(frame.pts * frame.time_base)
        if self._first_s is None:
            self._first_s = at_s
            num_samples -= round(max(at_s - MAX_START_SECONDS, 0) * self._rate_hz)
        missing_s = at_s - self._first_s - num_samples / self._rate_hz
        if missing_s > MAX_GAP_SECONDS:
            raise refuse(Reason.AUDIO_CORRUPT, f"{missing_s:.2f} s are missing before {at_s:.2f} s", self._name)

    def check_end(self, num_samples: int) -> None:
        """Raise AudioError if the samples end before the stream."""
        if self._stream.duration is None:
            return
        announced_s = float(self._stream.duration * self._stream.time_base)
        found_s = (self._first_s or 0.0) + num_samples / self._rate_hz
        if found_s < announced_s - MAX_GAP_SECONDS:
            what = f"{found_s:.2f} s decoded, the container announces {announced_s:.2f} s"
            raise refuse(Reason.AUDIO_TRUNCATED, what, self._name)


class G722Decoder:
    """Raw G.722. It has no header, so any bytes can be decoded: two samples per byte."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._decoder: Any = av.CodecContext.create("g722", "r")
        self._decoder.layout = "mono"
        self.header = Header("G722", G722_RATE_HZ, 1, 2 * view.size)

    def blocks(self) -> Iterator[Block]:
        """The samples, (1, T)."""
        while block := self._view.read(G722_PACKET_BYTES):
            frames = [_to_float(frame) for frame in self._decoder.decode(av.Packet(block))]
            if frames:
                yield np.concatenate(frames, axis=1)

    def close(self) -> None:
        """Nothing is held."""


def _to_float(frame: Any) -> Block:
    """The samples of a frame as float32, (C, T)."""
    kind = frame.format.name
    array: NDArray[Any] = frame.to_ndarray()  # planar: (C, T); packed: (1, T * C)
    channels = frame.layout.nb_channels
    if not kind.endswith("p") and channels > 1:
        array = array.reshape(-1, channels).T
    values: NDArray[Any] = array.astype(np.float64 if kind.startswith(("s32", "s64", "dbl")) else np.float32)
    if kind.startswith("u8"):
        values = values - 128
    return cast(Block, (values * _SCALES[kind.removesuffix("p")]).astype(np.float32))
