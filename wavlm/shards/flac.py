"""Encode and decode the FLAC of the shards: 16-bit mono, at 16 kHz or the rate of the shards, written by soundfile.

Two decoders are used. dr_flac (in miniaudio, if that is installed) is 1.7 times as fast as libFLAC (in soundfile).
But dr_flac skips damaged frames without an error. It is made as strict as libFLAC in two ways:

- It gets complete frames only, and must return every sample of them. Each frame has a CRC-16, so a damaged
  frame gives no samples, and the samples of another frame cannot take its place.
- If it does not return everything, soundfile decodes the audio again. In most cases that raises an error.

Of a long utterance only the frames of the crop are decoded. The files have no table of frame positions, but the
first bytes of a frame are known: sync code, format, frame number and a CRC-8 (RFC 9639, section 9.1).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.audio.flac import flac_stream_info
from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.errors import BadDataError
from wavlm.specs import SAMPLE_RATE_HZ

try:
    import miniaudio

    miniaudio.lib.ma_dr_flac_open_memory  # noqa: B018 - older versions use another name
except (ImportError, AttributeError):  # soundfile decodes the same samples, more slowly
    miniaudio = None

FULL_SCALE = 32768  # the int16 value of an amplitude of 1
PCM16_SCALE = np.float32(1 / FULL_SCALE)

# If a crop is a larger part of its utterance than this, searching for its frames costs more than it saves.
LARGE_SHARE = 0.8
MAX_SAMPLES = 1 << 27  # 2 h 20 min; a damaged header may announce 2**36
STREAMINFO_END = 42  # bytes: the magic number, then the block that is always first
STREAMINFO_IS_LAST = b"\x80"
LAST_BLOCK_IS_COMMENT = b"\x84"
FIXED_SIZE_FRAME = b"\xff\xf8"

Waveform = NDArray[np.float32]
Pcm16 = NDArray[np.int16]


def encode_flac(waveform: Waveform, sample_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """16-bit mono FLAC of a float32 waveform (T,): rounded to the nearest int16, clipped, without dither.

    The same waveform gives the same bytes. Encoding what `decode_flac` returns gives these bytes again.
    """
    pcm = np.rint(waveform * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decode_flac(blob: bytes, start: int = 0, stop: int | None = None, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Waveform:
    """Samples start to stop of a FLAC made by `encode_flac`: (stop - start,) float32 in [-1, 1).

    Raises AudioError for damaged audio, ValueError for samples that the FLAC does not have, and BadDataError
    (SAMPLE_RATE) for audio of another rate.
    """
    return decode_flac_int16(blob, start, stop, sample_rate_hz) * PCM16_SCALE


def decode_flac_int16(
    blob: bytes, start: int = 0, stop: int | None = None, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> Pcm16:
    """Like `decode_flac`, as int16 samples."""
    info = flac_stream_info(blob)
    end = stop if stop is not None else info.num_samples if info else 0
    if miniaudio is not None and start < end <= MAX_SAMPLES:
        pcm = np.empty(end - start, np.int16)
        if _decode_by_miniaudio(blob, start, pcm, sample_rate_hz):
            return pcm
    return decode_by_soundfile(blob, start, stop, sample_rate_hz)


def decode_flac_into(blob: bytes, start: int, out: Pcm16, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Fill `out` (N,) with N int16 samples from sample `start` on. `out` must be contiguous."""
    if miniaudio is None or not _decode_by_miniaudio(blob, start, out, sample_rate_hz):
        out[:] = decode_by_soundfile(blob, start, start + len(out), sample_rate_hz)


def decode_by_soundfile(
    blob: bytes, start: int = 0, stop: int | None = None, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> Pcm16:
    """Like `decode_flac_int16`, always by libFLAC, which detects every kind of damage."""
    try:
        with soundfile.SoundFile(io.BytesIO(blob)) as file:
            end = file.frames if stop is None else stop
            if not 0 <= start <= end <= file.frames:
                raise ValueError(f"samples {start} to {end} of a FLAC of {file.frames}")
            if file.samplerate != sample_rate_hz:
                raise BadDataError(
                    "SAMPLE_RATE",
                    f"found {file.samplerate} Hz, expected {sample_rate_hz}; in FLAC data; use shards and models of "
                    "one rate: `sample_rate_hz` of the shards",
                )
            if file.channels != 1:
                raise ValueError(f"found {file.channels} channels, expected a FLAC of 1 channel")
            if start:
                file.seek(start)
            pcm = file.read(end - start, dtype="int16")
    except soundfile.SoundFileError as error:
        raise AudioError(
            Reason.AUDIO_CORRUPT, f"the decoder says {error}; in FLAC data; make the shards again"
        ) from error
    if len(pcm) != end - start:
        raise AudioError(
            Reason.AUDIO_CORRUPT,
            f"{len(pcm)} samples decoded, expected {end - start}; in FLAC data; make the shards again",
        )
    return cast(Pcm16, pcm)


def _decode_by_miniaudio(blob: bytes, start: int, out: Pcm16, sample_rate_hz: int) -> bool:
    """Fill `out`. False if anything differs from what `encode_flac` writes; `out` is then undefined."""
    info, frames_at = flac_stream_info(blob), _find_first_frame(blob)
    end = start + len(out)
    if info is None or not frames_at or not 0 <= start < end <= info.num_samples <= MAX_SAMPLES:
        return False
    first, last = 0, info.num_samples
    if len(out) < LARGE_SHARE * info.num_samples:
        blob, first, last = _cut_frames(blob, start, end, info.num_samples, frames_at)
    return _decode_whole(blob, start - first, out, last - end, sample_rate_hz)


def _decode_whole(blob: bytes, num_before: int, out: Pcm16, num_behind: int, sample_rate_hz: int) -> bool:
    """Fill `out` from a FLAC with this many samples before and after it; False if the FLAC has fewer."""
    lib, ffi = miniaudio.lib, miniaudio.ffi
    source = ffi.from_buffer(blob)
    decoder = lib.ma_dr_flac_open_memory(source, len(blob), ffi.NULL)
    if not decoder:
        return False
    try:
        found = (decoder.sampleRate, decoder.channels, decoder.bitsPerSample)
        if found != (sample_rate_hz, 1, 16):
            return False
        unused = np.empty(max(num_before, num_behind), np.int16)
        for part in (unused[:num_before], out, unused[:num_behind]):
            into = ffi.cast("short *", ffi.from_buffer(part))
            if lib.ma_dr_flac_read_pcm_frames_s16(decoder, len(part), into) != len(part):
                return False
    finally:
        lib.ma_dr_flac_close(decoder)
    return True


def _cut_frames(blob: bytes, start: int, end: int, total: int, frames_at: int) -> tuple[bytes, int, int]:
    """A FLAC of only the frames with samples start to end, its first sample, and the sample after its last.

    Returns the whole FLAC if the frames are not found by their headers.
    """
    head = blob[frames_at : frames_at + 4]
    size_code = head[2] >> 4 if len(head) == 4 and head[:2] == FIXED_SIZE_FRAME else 0
    if size_code < 8:
        return blob, 0, total
    size = 1 << size_code  # samples per frame: 256 * 2 ** (code - 8)
    first, last = start // size, -(-end // size)
    begin = _find_frame(blob, _frame_header(head, first), frames_at, first * size / total)
    stop = len(blob)
    if last < total // size:  # the last frame may be shorter and then has another header
        stop = _find_frame(blob, _frame_header(head, last), frames_at, last * size / total)
    if begin < 0 or stop < 0:
        return blob, 0, total
    cut = blob[:4] + STREAMINFO_IS_LAST + blob[5:STREAMINFO_END] + blob[begin:stop]
    return cut, first * size, total if stop == len(blob) else last * size


def _find_first_frame(blob: bytes) -> int:
    """The byte at which the frames begin; 0 if the blocks before them are not those that soundfile writes.

    These blocks are STREAMINFO, with a single frame size, and a Vorbis comment that names only its writer
    (RFC 9639, sections 8.2 and 8.6). If they are damaged, libFLAC detects more than dr_flac.
    """
    size = int.from_bytes(blob[43:46], "big")
    is_usual = (
        blob[:8] == b"fLaC\0\0\0\x22"
        and blob[8:10] == blob[10:12]
        and blob[42:43] == LAST_BLOCK_IS_COMMENT
        and blob[46:50] == (size - 8).to_bytes(4, "little", signed=True)
        and blob[STREAMINFO_END + size : STREAMINFO_END + 4 + size] == bytes(4)  # no comments
    )
    return STREAMINFO_END + 4 + size if is_usual else 0


def _find_frame(blob: bytes, header: bytes, frames_at: int, share: float) -> int:
    """The byte at which the frame with this header begins; -1 if there is none.

    The search starts a little before `share` of all bytes. Other data equal the six bytes of a header once in
    2**48 cases. Then samples are missing, and soundfile decodes.
    """
    near = frames_at + int((share - 0.1) * (len(blob) - frames_at))
    found = blob.find(header, max(near, frames_at))
    return found if found >= 0 else blob.find(header, frames_at)


@lru_cache(maxsize=4096)
def _frame_header(head: bytes, number: int) -> bytes:
    """The header of frame `number`: the four bytes that all frames have, the number and a CRC-8."""
    counted = head + chr(number).encode("utf-8", "surrogatepass")  # RFC 9639, 9.1.5
    crc = 0
    for byte in counted:
        crc ^= byte
        for _ in range(8):  # x^8 + x^2 + x + 1
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return counted + bytes([crc])
