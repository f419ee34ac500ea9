"""Small trees of real speech in the layouts of publishers, and corpora for evaluations that are built of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from tests.corpus.corpora import of_folder
from tests.corpus.layouts.trees import layout_of
from wavlm.corpus.build import build_corpus
from wavlm.corpus.layouts import Reading
from wavlm.execution.progress import no_progress

DATA = Path(__file__).parents[2] / "data" / "speech"
RATE_HZ = 16000


@cache
def _speech() -> np.ndarray:
    return np.concatenate([soundfile.read(path)[0] for path in sorted(DATA.glob("*/*.flac"))])


def speak(root: Path, *names: str, seconds: float = 0.4) -> Path:
    """Files with pieces of the real speech of tests/data, each another one. Returns the folder."""
    for place, name in enumerate(sorted(names)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        start = 997 * (place + len(name))
        soundfile.write(path, _speech()[start : start + round(RATE_HZ * seconds)], RATE_HZ)
    return root


def build(folder: Path, out: Path, **layout: object) -> Path:
    """A corpus for evaluations, read from a folder. Returns its folder."""
    spec = of_folder(folder, layout_of(**layout), role="evaluation", max_left_out=0.0)
    build_corpus(spec, out / "downloads", out, no_progress)
    return out


def said(reading: Reading) -> dict[str, tuple[str, str, object]]:
    """Part, speaker and target by key."""
    return {item.key: (item.part, item.speaker, json.loads(item.target or "null")) for item in reading}


def classes(reading: Reading) -> Mapping[str, tuple[str, str]]:
    """Part and class by key."""
    return {item.key: (item.part, json.loads(item.target or "{}").get("class", "")) for item in reading}
