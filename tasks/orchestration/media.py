"""Pictures and sounds as text (data URIs), so that they show in a page of Prefect without any other server.

Artifacts are rows of the server's database, so both are made small.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

MAX_PICTURE_BYTES = 200_000  # of a file that goes in as it is
MAX_WIDTH = 1000  # pixels of one that does not
QUALITY = 80


def embed_picture(path: Path) -> str:
    """A PNG file as a data URI; a large one is scaled down and becomes WebP, a tenth as large."""
    blob = path.read_bytes()
    if len(blob) <= MAX_PICTURE_BYTES:
        return _encode("image/png", blob)
    from PIL import Image

    with Image.open(io.BytesIO(blob)) as image:
        picture = image.convert("RGB")
    picture.thumbnail((MAX_WIDTH, picture.height))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY)
    return _encode("image/webp", buffer.getvalue())


def embed_sound(path: Path) -> str:
    """A sound file as a data URI of an MP3, which all browsers play: 5 kB per second."""
    import soundfile

    samples, rate_hz = soundfile.read(path, dtype="float32")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="MP3")
    return _encode("audio/mpeg", buffer.getvalue())


def _encode(kind: str, blob: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(blob).decode()}"
