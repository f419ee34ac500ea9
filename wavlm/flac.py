"""The FLAC of the shards: 16-bit mono at 16 kHz, written by soundfile, read as fast as can be.

dr_flac (in miniaudio, where that is installed) decodes it 1.7 times as fast as libFLAC (soundfile),
but it steps over damaged frames without a word. Two things make it as strict. It gets whole frames
only and must return every one of their samples: each frame carries a CRC-16, so whatever is damaged
is missing, and nothing can have moved up into its place. And what it does not decode in full goes
to soundfile, whose answer, most often an error, is the one that counts.

Of a long utterance only the frames of the crop are decoded. There is no table of their places, but
the first bytes of a frame are known: sync code, format, its number and a CRC-8 (RFC 9639, 9.1).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavlm.containers import AudioError, Reason, flac_stream_info
from wavlm.specs import SAMPLE_RATE_HZ

try:
    import miniaudio
except ImportError:  # slower without, but the same samples
    miniaudio = None

FULL_SCALE = 32768  # 16-bit steps in an amplitude of 1
STEP = np.float32(1 / FULL_SCALE)

# Above this share of an utterance, to look for the frames of a crop costs more than it saves.
LARGE_SHARE = 0.8
MAX_SAMPLES = 1 << 27  # two hours and a bit; a damaged header may promise 2**36
STREAMINFO_END = 42  # bytes: the magic word, then the block that always comes first
STREAMINFO_IS_LAST = b"\x80"
LAST_BLOCK_IS_COMMENT = b"\x84"
FIXED_SIZE_FRAME = b"\xff\xf8"

Waveform = NDArray[np.float32]
Steps = NDArray[np.int16]


def encode_flac(waveform: Waveform) -> bytes:
    """16-bit mono 16 kHz FLAC of a waveform (T,): rounded to the nearest step, clipped, no dither.

    The same waveform gives the same bytes, and what `decode_flac` returns encodes to them again.
    """
    steps = np.rint(waveform * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, steps, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decode_flac(blob: bytes, start: int = 0, stop: int | None = None) -> Waveform:
    """Samples start to stop of a FLAC made by `encode_flac`, float32 in [-1, 1)."""
    return decode_flac_int16(blob, start, stop) * STEP


def decode_flac_int16(blob: bytes, start: int = 0, stop: int | None = None) -> Steps:
    """Like `decode_flac` in 16-bit steps; may be a view of more.

    Raises AudioError for what is damaged, ValueError for a part that is not there.
    """
    steps = _by_miniaudio(blob, start, stop) if miniaudio is not None else None
    return by_soundfile(blob, start, stop) if steps is None else steps


def by_soundfile(blob: bytes, start: int = 0, stop: int | None = None) -> Steps:
    """`decode_flac_int16` by libFLAC, which knows every kind of damage."""
    try:
        with soundfile.SoundFile(io.BytesIO(blob)) as file:
            end = file.frames if stop is None else stop
            if not 0 <= start <= end <= file.frames:
                raise ValueError(f"samples {start} to {end} of a FLAC of {file.frames}")
            if file.samplerate != SAMPLE_RATE_HZ or file.channels != 1:
                raise ValueError(
                    f"found {file.channels} channels at {file.samplerate} Hz, expected a FLAC of "
                    f"1 channel at {SAMPLE_RATE_HZ} Hz"
                )
            if start:
                file.seek(start)
            steps = file.read(end - start, dtype="int16")
    except soundfile.SoundFileError as error:
        raise AudioError(Reason.AUDIO_CORRUPT, f"a FLAC cannot be decoded: {error}") from error
    if len(steps) != end - start:
        raise AudioError(
            Reason.AUDIO_CORRUPT, f"{len(steps)} samples decoded, expected {end - start}"
        )
    return cast(Steps, steps)


def _by_miniaudio(blob: bytes, start: int, stop: int | None) -> Steps | None:
    """The samples; None if anything at all is not as `encode_flac` makes it."""
    info = flac_stream_info(blob)
    if info is None:
        return None
    total = info.num_samples
    end = total if stop is None else stop
    if not 0 <= start < end <= total <= MAX_SAMPLES:
        return None
    frames_at = _first_frame_at(blob)
    if not frames_at:
        return None
    first, last = 0, total
    if end - start < LARGE_SHARE * total:
        blob, first, last = _frames_around(blob, start, end, total, frames_at)
    steps = _every_sample(blob, last - first)
    return None if steps is None else steps[start - first : end - first]


def _every_sample(blob: bytes, expected: int) -> Steps | None:
    """The samples of a FLAC that must have so many, (expected,); None if they do not all come."""
    lib, ffi = miniaudio.lib, miniaudio.ffi
    source = ffi.from_buffer(blob)
    decoder = lib.ma_dr_flac_open_memory(source, len(blob), ffi.NULL)
    if not decoder:
        return None
    try:
        found = (decoder.sampleRate, decoder.channels, decoder.bitsPerSample)
        if found != (SAMPLE_RATE_HZ, 1, 16):
            return None
        steps = np.empty(expected, np.int16)
        into = ffi.cast("short *", ffi.from_buffer(steps))
        decoded: Any = lib.ma_dr_flac_read_pcm_frames_s16(decoder, expected, into)
    finally:
        lib.ma_dr_flac_close(decoder)
    return steps if decoded == expected else None


def _frames_around(
    blob: bytes, start: int, end: int, total: int, frames_at: int
) -> tuple[bytes, int, int]:
    """A FLAC of the frames that hold samples start to end, its first sample and its end.

    The whole FLAC where those frames cannot be told by their headers.
    """
    head = blob[frames_at : frames_at + 4]
    size_code = head[2] >> 4 if len(head) == 4 and head[:2] == FIXED_SIZE_FRAME else 0
    if size_code < 8:
        return blob, 0, total
    size = 1 << size_code  # samples a frame: 256 * 2 ** (code - 8)
    first, last = start // size, -(-end // size)
    begin = _find(blob, _header(head, first), frames_at, first * size / total)
    stop = len(blob)
    if last < total // size:  # the last frame may be shorter, with another header
        stop = _find(blob, _header(head, last), frames_at, last * size / total)
    if begin < 0 or stop < 0:
        return blob, 0, total
    cut = blob[:4] + STREAMINFO_IS_LAST + blob[5:STREAMINFO_END] + blob[begin:stop]
    return cut, first * size, total if stop == len(blob) else last * size


def _first_frame_at(blob: bytes) -> int:
    """Where the frames begin; 0 if the blocks before them are not those that soundfile writes.

    These are STREAMINFO, with one size of frame, and a Vorbis comment that names only its writer
    (RFC 9639, 8.2 and 8.6). libFLAC refuses more damage to them than dr_flac.
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


def _find(blob: bytes, header: bytes, frames_at: int, share: float) -> int:
    """The byte at which a frame begins, first looked for near its share of all bytes; -1: nowhere.

    Six bytes are the same elsewhere once in 2**48; then samples are missing and soundfile decodes.
    """
    near = frames_at + int((share - 0.1) * (len(blob) - frames_at))
    found = blob.find(header, max(near, frames_at))
    return found if found >= 0 else blob.find(header, frames_at)


@lru_cache(maxsize=4096)
def _header(head: bytes, number: int) -> bytes:
    """The header of frame `number`: four bytes that all frames share, the number and a CRC-8."""
    counted = head + chr(number).encode("utf-8", "surrogatepass")  # RFC 9639, 9.1.5
    crc = 0
    for byte in counted:
        crc ^= byte
        for _ in range(8):  # x^8 + x^2 + x + 1
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return counted + bytes([crc])
