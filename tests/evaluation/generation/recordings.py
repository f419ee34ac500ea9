"""Real speech and noise in small shards folders, as tasks that mix and mask read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tests.mini_shards import Spoken, write_shards
from wavlm.evaluation.examples import Take
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.shards.reader import Reader

DATA = Path(__file__).parents[2] / "data"


def speech(seconds: float, most: int = 12) -> list[Spoken]:
    """Utterances of ten speakers from their second second on, where all speak; of speakers with two, both."""
    paths = sorted((DATA / "speech").glob("*/*.flac"))[:most]
    return [Spoken(path.stem, path.parent.name, _read(path, seconds, 1.0)) for path in paths]


def noises(count: int, seconds: float = 1.0) -> list[Spoken]:
    """Stretches of a real recording of a machine, one after another."""
    whole = _read(DATA / "noise/ambient_3d_printer.flac", count * seconds)
    return [Spoken(f"noise{n}", "", part) for n, part in enumerate(np.array_split(whole, count))]


def corpus_of(
    folder: Path, spoken: Sequence[Spoken], number: int = 0, targets: dict[str, dict[str, object]] | None = None
) -> LabelledCorpus:
    """A labelled corpus of these recordings, whose shards are written."""
    write_shards(folder, spoken)
    keys = [str(key) for key in Reader(folder).index.keys]
    by_key = {item.key: item for item in spoken}
    corpus = LabelledCorpus(folder.name, folder, folder, number)
    vars(corpus)["rows"] = tuple(
        Row(
            key,
            by_key[key].speaker,
            "",
            None,
            None,
            (targets or {}).get(key, {}),  # type: ignore[arg-type]
            len(by_key[key].waveform),
            Take(number, row),
        )
        for row, key in enumerate(keys)
    )
    return corpus


def _read(path: Path, seconds: float, begin_s: float = 0.0) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == 16_000
    first = int(begin_s * rate_hz)
    found: np.ndarray = samples[first : first + int(seconds * rate_hz)]
    return found
