"""Small recordings in every format that is read, made by soundfile and PyAV from real speech."""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from wavlm.corpus.audio.stream import AudioStream, open_audio

Samples = NDArray[np.float32]
SPEECH = Path(__file__).parents[2] / "data" / "speech"
RATE_HZ = 16000
PCM_ERROR = 2e-4  # of 16 bits, with rounding in between
LOSSY_ERROR = 0.2  # of the whole energy: what a codec changes, at most


@dataclass(frozen=True)
class Kind:
    """A format, and what a decoder must give back of it."""

    suffix: str
    container: str  # as soundfile or FFmpeg calls it
    codec: str
    rate_hz: int = RATE_HZ
    error: float = PCM_ERROR  # largest difference, or share of the energy for lossy codecs
    is_lossy: bool = False
    by_av: bool = False
    slack: int = 0  # samples that a codec may add at the end
    format: str = ""  # as `AudioInfo` calls it; the container if empty


BIT_RATES = {"libopencore_amrnb": 12200, "wmav2": 48000, "aac": 64000, "libopus": 48000, "mp2": 96000, "ac3": 128000}


def _lossy(suffix: str, container: str, codec: str, **more: Any) -> Kind:
    return Kind(suffix, container, codec, **{"is_lossy": True, "error": LOSSY_ERROR, **more})


KINDS: dict[str, Kind] = {
    "WAV, 16 bits": Kind("wav", "WAV", "PCM_16"),
    "WAV, 8 bits": Kind("wav", "WAV", "PCM_U8", error=1e-2),
    "WAV, 24 bits": Kind("wav", "WAV", "PCM_24"),
    "WAV, 32 bits": Kind("wav", "WAV", "PCM_32"),
    "WAV, float": Kind("wav", "WAV", "FLOAT"),
    "WAV, double": Kind("wav", "WAV", "DOUBLE"),
    "WAV, A-law": Kind("wav", "WAV", "ALAW", error=4e-2),
    "WAV, mu-law": Kind("wav", "WAV", "ULAW", error=4e-2),
    "WAV, IMA ADPCM": _lossy("wav", "WAV", "IMA_ADPCM", slack=1024),
    "WAV, MS ADPCM": _lossy("wav", "WAV", "MS_ADPCM", slack=1024),
    "WAV, GSM 6.10": _lossy("wav", "WAV", "GSM610", slack=320),
    "WAV, G.721": _lossy("wav", "WAV", "G721_32", slack=240),
    "WAV, MP3": _lossy("wav", "wav", "libmp3lame", by_av=True, slack=3000, format="WAV"),
    "WAV, extensible": Kind("wav", "WAVEX", "PCM_24", format="WAV"),
    "RF64": Kind("wav", "RF64", "PCM_16"),
    "Wave64": Kind("w64", "W64", "PCM_16"),
    "FLAC, 16 bits": Kind("flac", "FLAC", "PCM_16"),
    "FLAC, 24 bits": Kind("flac", "FLAC", "PCM_24"),
    "AIFF": Kind("aiff", "AIFF", "PCM_16"),
    "AIFC, float": Kind("aifc", "AIFF", "FLOAT"),
    "AIFC, mu-law": Kind("aifc", "AIFF", "ULAW", error=4e-2),
    "AIFC, IMA ADPCM": _lossy("aifc", "AIFF", "IMA_ADPCM", slack=64),
    "CAF": Kind("caf", "CAF", "PCM_16"),
    "CAF, ALAC": Kind("caf", "CAF", "ALAC_16"),
    "AU": Kind("au", "AU", "PCM_16"),
    "AU, mu-law": Kind("au", "AU", "ULAW", error=4e-2),
    "AU, G.721": _lossy("au", "AU", "G721_32", slack=240),
    "NIST SPHERE": Kind("sph", "NIST", "PCM_16"),
    "NIST SPHERE, mu-law": Kind("sph", "NIST", "ULAW", error=4e-2),
    "Ogg Vorbis": _lossy("ogg", "OGG", "VORBIS"),
    "Ogg Opus": _lossy("opus", "OGG", "OPUS"),
    "Ogg FLAC": Kind("oga", "ogg", "flac", by_av=True, format="OGG"),
    "MP3": _lossy("mp3", "MP3", "MPEG_LAYER_III"),
    "MP2": _lossy("mp2", "mp2", "mp2", by_av=True, slack=2500, format="MP3"),
    "AVR": Kind("avr", "AVR", "PCM_16"),
    "SVX": Kind("svx", "SVX", "PCM_16"),
    "PAF": Kind("paf", "PAF", "PCM_16"),
    "PVF": Kind("pvf", "PVF", "PCM_16"),
    "IRCAM": Kind("sf", "IRCAM", "PCM_16"),
    "VOC": Kind("voc", "VOC", "PCM_16"),
    "M4A, AAC": _lossy("m4a", "ipod", "aac", by_av=True, format="MP4"),
    "M4A, ALAC": Kind("m4a", "ipod", "alac", by_av=True, format="MP4"),
    "MOV, PCM": Kind("mov", "mov", "pcm_s16le", by_av=True, format="MP4"),
    "3GP, AMR": _lossy("3gp", "3gp", "libopencore_amrnb", rate_hz=8000, by_av=True, slack=400, format="MP4"),
    "WebM, Opus": _lossy("webm", "webm", "libopus", rate_hz=48000, by_av=True, slack=1000, format="MATROSKA"),
    "Matroska, FLAC": Kind("mka", "matroska", "flac", by_av=True, format="MATROSKA"),
    "Matroska, PCM": Kind("mkv", "matroska", "pcm_s16le", by_av=True, format="MATROSKA"),
    "ADTS, AAC": _lossy("aac", "adts", "aac", by_av=True, slack=3000, format="ADTS"),
    "AMR": _lossy("amr", "amr", "libopencore_amrnb", rate_hz=8000, by_av=True, slack=400, format="AMR"),
    "WMA": _lossy("wma", "asf", "wmav2", rate_hz=22050, by_av=True, slack=5000, format="ASF"),
    "WavPack": Kind("wv", "wv", "wavpack", by_av=True, format="WAVPACK"),
    "TTA": Kind("tta", "tta", "tta", by_av=True, format="TTA"),
    "AC-3": _lossy("ac3", "ac3", "ac3", rate_hz=48000, by_av=True, slack=4000, format="AC3"),
    "AVI, PCM": Kind("avi", "avi", "pcm_s16le", by_av=True, format="AVI"),
    "FLV, AAC": _lossy("flv", "flv", "aac", rate_hz=22050, by_av=True, slack=3000, format="FLV"),
}


@lru_cache(maxsize=4)
def speech(rate_hz: int = RATE_HZ, number: int = 0) -> Samples:
    """A short utterance, (T,), about half of full scale."""
    path = sorted(SPEECH.glob("*/*.flac"))[number]
    samples, found_hz = soundfile.read(path, dtype="float32")
    times = np.arange(round(len(samples) * rate_hz / found_hz)) / rate_hz
    resampled = np.interp(times, np.arange(len(samples)) / found_hz, samples)  # good enough for speech
    return np.asarray(resampled * 0.5 / np.abs(resampled).max(), np.float32)


@lru_cache(maxsize=256)
def recording(name: str, number: int = 0, seconds: float | None = None) -> bytes:
    """The bytes of an utterance in a format of `KINDS`."""
    kind = KINDS[name]
    samples = speech(kind.rate_hz, number)
    if seconds is not None:
        samples = samples[: round(seconds * kind.rate_hz)]
    return encode(samples, kind)


def encode(samples: Samples, kind: Kind) -> bytes:
    """Samples, (T,) or (T, C), as a file."""
    if kind.by_av:
        return encode_by_av(samples, kind.rate_hz, kind.container, kind.codec)
    file = io.BytesIO()
    soundfile.write(file, samples, kind.rate_hz, format=kind.container, subtype=kind.codec)
    return file.getvalue()


def encode_by_av(
    samples: Samples, rate_hz: int, container: str, codec: str, options: dict[str, str] | None = None, streams: int = 1
) -> bytes:
    """Samples, (T,) or (T, C), as a file that PyAV writes."""
    file = io.BytesIO()
    layout = "mono" if samples.ndim == 1 else "stereo"
    with av.open(file, "w", format=container, options=options or {}) as output:
        made = [output.add_stream(codec, rate=rate_hz, layout=layout) for _ in range(streams)]
        for stream in made:
            stream.bit_rate = BIT_RATES.get(codec, 0)
            if codec in ("wavpack", "tta"):
                stream.codec_context.format = "s16p" if codec == "wavpack" else "s16"
            _write(output, stream, samples, rate_hz, layout)
    return file.getvalue()


def _write(output: Any, stream: Any, samples: Samples, rate_hz: int, layout: str) -> None:
    steps = np.rint(samples * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(steps.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate, frame.pts = rate_hz, 0
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(stream.codec_context.format or "s16", layout, rate_hz, frame_size=size)
    for part in [*resampler.resample(frame), *resampler.resample(None), None]:
        for packet in stream.encode(part):
            output.mux(packet)


def write(folder: Path, name: str, blob: bytes) -> Path:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(blob)
    return path


def decoded(path: Path) -> tuple[NDArray[np.float32], AudioStream]:
    """All samples of a file, (C, T), and its stream."""
    with open_audio(path) as stream:
        blocks: Sequence[NDArray[np.float32]] = list(stream.blocks())
        return np.concatenate(blocks, axis=1), stream


def decoded_blob(blob: bytes, name: str = "a") -> NDArray[np.float32]:
    """All samples of a file of these bytes, (C, T)."""
    with tempfile.TemporaryDirectory() as folder:
        return decoded(write(Path(folder), name, blob))[0]
