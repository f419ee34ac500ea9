"""Recordings and results that tests and the scorers of `references.py` score alike. Needs numpy and soundfile alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[3]
SPEECH = ROOT / "tests" / "data" / "speech"
EVAL_DATA = ROOT.parent / "shared" / "eval-data"
AMI = EVAL_DATA / "ami"

Turn = tuple[float, float, str]


def read_turns(path: Path = AMI / "reference.rttm") -> dict[str, list[Turn]]:
    """Turns of each recording of an RTTM file."""
    turns = defaultdict(list)
    for line in path.read_text().splitlines():
        _, recording, _, start_s, duration_s, _, _, speaker, *_ = line.split()
        turns[recording].append((float(start_s), round(float(start_s) + float(duration_s), 3), speaker))
    return dict(turns)


def spoil(turns: list[Turn], number: int) -> list[Turn]:
    """A result that is wrong in all ways: other names, moved boundaries, lost, false, swapped and doubled turns."""
    rng = np.random.default_rng(number)
    speakers = sorted({speaker for _, _, speaker in turns})
    found = []
    for start_s, end_s, speaker in turns:
        if found and rng.random() < 0.1:
            continue
        moved_s = max(0.0, start_s + rng.normal(0, 0.3))
        name = speakers[rng.integers(len(speakers))] if rng.random() < 0.2 else speaker
        found.append((moved_s, max(moved_s + 0.05, end_s + rng.normal(0, 0.3)), f"found {speakers.index(name)}"))
        if rng.random() < 0.1:
            found.append((moved_s, moved_s + 1.0, f"found {len(speakers)}"))
    inside = [(round(start_s, 3), round(min(end_s, 30.0), 3), speaker) for start_s, end_s, speaker in found]
    return [turn for turn in inside if turn[0] < turn[1]]


def read_speech(name: str, seconds: float | None = None) -> np.ndarray:
    """A recording of tests/data, 16 kHz."""
    samples, rate_hz = soundfile.read(SPEECH / name.split("-", maxsplit=1)[0] / f"{name}.flac")
    assert rate_hz == 16_000
    return samples if seconds is None else samples[: int(seconds * rate_hz)]


CONVERSIONS = {  # the target's utterance, the other one, and their pitch
    "two women": ("1188-133604-0042", "4992-41797-0003"),
    "a man and a woman": ("908-31957-0010", "2830-3979-0005"),
}
PITCH_HZ = (60.0, 400.0)
CONVERSION_SECONDS = 2.0


def separated() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two voices (2, N), results of a bad separation in the other order (2, N), and the mixture (N,)."""
    references = np.stack([read_speech(name, 1.5) for name in CONVERSIONS["two women"]])
    mixture = references.sum(axis=0)
    hum = 0.01 * np.sin(2 * np.pi * 50 / 16_000 * np.arange(mixture.size))
    found = np.stack([0.4 * references[1] + 0.1 * references[0] + hum, 3.0 * references[0] - 0.5 * references[1] - hum])
    return references, found, mixture
