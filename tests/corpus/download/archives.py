"""A small archive, a source that pins it, and short timeouts for tests."""

import hashlib
import io
import tarfile

import numpy as np

from wavlm.corpus.download import RetryPolicy
from wavlm.specs import HttpsSource

PATIENCE = RetryPolicy(
    attempts=3,
    read_seconds=0.4,
    slow_seconds=0.3,
    slow_bytes=2000,
    backoff_seconds=0.01,
    backoff_cap_seconds=0.05,
    lock_seconds=0.2,
)


def archive_of(num_bytes: int = 400_000) -> bytes:
    noise = np.random.Generator(np.random.Philox(7)).bytes(num_bytes)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("noise.bin")
        info.size = num_bytes
        tar.addfile(info, io.BytesIO(noise))
    return buffer.getvalue()


CONTENT = archive_of()


def source(*urls: str, content: bytes = CONTENT, size: int | None = len(CONTENT)) -> HttpsSource:
    return HttpsSource(
        type="https",
        urls=urls,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=size,
        format="tar",
    )
