"""Audio and archives as publishers pack them. Encrypting is done by the program that GigaSpeech's publisher used."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

RATE_HZ = 16000


def waveform(seed: int, seconds: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.1, 0.1, round(RATE_HZ * seconds))


def encode(kind: str, seed: int, seconds: float = 0.5) -> bytes:
    """Noise that the seed decides, in one of the formats `flac`, `wav`, `ogg`, `opus`, `mp3`."""
    samples, file = waveform(seed, seconds), io.BytesIO()
    if kind == "opus":
        return _encode_opus(samples)
    form, subtype = {"ogg": ("OGG", "VORBIS"), "mp3": ("MP3", None)}.get(kind, (kind.upper(), "PCM_16"))
    soundfile.write(file, samples, RATE_HZ, format=form, subtype=subtype)
    return file.getvalue()


def _encode_opus(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        pcm = np.rint(np.repeat(samples, 3) * 32767).astype(np.int16)[None]  # 48 kHz
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 48000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar, `w:gz` and `w:bz2` compressed, with the folders that tools write before the files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) not in (".", "/")}
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name, blob in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            archive.addfile(info, io.BytesIO(blob))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blob in files.items():
            archive.writestr(name, blob)
    return buffer.getvalue()


def parquet(rows: list[dict[str, object]]) -> bytes:
    """Rows as `datasets` stores audio: a struct of bytes and path."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue().to_pybytes()


def gzipped(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def encrypt(blob: bytes, password: str) -> bytes:
    """As `openssl enc -aes-256-cbc -salt -pbkdf2` does."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = ["openssl", "enc", "-aes-256-cbc", "-salt", "-pbkdf2", "-pass", "env:SECRET"]
    done = subprocess.run(command, input=blob, capture_output=True, check=True, env={**os.environ, "SECRET": password})
    return done.stdout
