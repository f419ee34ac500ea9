"""Small corpora of tones, as folders and as archives."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from wavlm.specs import CorpusSpec, FolderSource, HttpsSource, Layout
from wavlm.specs.layouts import GenericLayout

SPEAKERS = ["ann", "bob", "cid", "dan"]
GENERIC = GenericLayout(type="generic", speaker="(?P<speaker>[a-z]+)/[^/]*$")


def tone(seconds: float, hz: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(round(16000 * seconds)) / 16000)


def grow(root: Path, speakers: Sequence[str] = SPEAKERS, clips: int = 5) -> Path:
    """A tree <speaker>/<n>.flac of half a second each, all different."""
    for who, speaker in enumerate(speakers):
        (root / speaker).mkdir(parents=True, exist_ok=True)
        for clip in range(clips):
            path = root / speaker / f"{clip}.flac"
            soundfile.write(path, tone(0.5, 200 + 50 * who + 3 * clip), 16000)
    return root


def spec(**fields: object) -> CorpusSpec:
    return CorpusSpec.model_validate(
        {
            "name": "tiny",
            "role": "speech",
            "description": "",
            "homepage": "https://example.org/",
            "license": "CC0-1.0",
            "citation": "nobody",
            "layout": GENERIC,
            "valid_fraction": 0.0,
            **fields,
        }
    )


def of_folder(folder: Path, layout: Layout = GENERIC, **fields: object) -> CorpusSpec:
    source = FolderSource(type="folder", path=str(folder))
    return spec(sources=(source,), layout=layout, **fields)


def tar_gz_of(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname="tiny")
    return buffer.getvalue()


def of_archive(blob: bytes, url: str, **fields: object) -> CorpusSpec:
    digest = hashlib.sha256(blob).hexdigest()
    source = HttpsSource(type="https", urls=(url,), sha256=digest, format="tar.gz")
    return spec(sources=(source,), **fields)


def contents(folder: Path, *, with_notes: bool = False) -> dict[str, bytes]:
    """Files by relative path, without unfinished ones and notes, which the store removes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".partial") and (with_notes or not is_note(path))
    }


def is_note(path: Path) -> bool:
    """Whether a file is a note of digests, which has times in it."""
    return path.name.startswith(".") and path.name.endswith(".sha256")
