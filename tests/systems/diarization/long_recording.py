"""Peak memory and CPU time of diarizing two hours, one system per run: of synthetic voices, or of real ones.

OMP_NUM_THREADS=1 PYTHONPATH=. python -m tests.systems.diarization.long_recording eend_vc
OMP_NUM_THREADS=1 PYTHONPATH=. python -m tests.systems.diarization.long_recording cosine    # or plda, vbx, eend_gla
... long_recording vbx --speech CORPUS/speech --system SYSTEM    # a trained system, and a folder of each voice

Systems that are not given have random weights. A recording of real voices has eight, who read in turn, in random order.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from tests.systems.diarization.made import RATE, SMALL, end_to_end, voice, write_system
from tests.tiny_specs import tiny_network
from wavlm.evaluation.metrics.diarization import Turn, diarization_errors
from wavlm.systems.diarization.backend import Backend, write_backend
from wavlm.systems.diarization.diarize import Choice, diarize
from wavlm.systems.diarization.plda import Plda, fit_plda

OF_WINDOWS = ("cosine", "plda", "vbx")
VOICES = 8


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        path = root / "meeting.wav"
        parts = read_voices(given.speech) if given.speech else synthetic_voices()
        right = write_recording(path, parts, given.hours)
        folder = given.system or random_system(root / "system", given.kind)
        choice = Choice(method=given.kind, detector="oracle") if given.kind in OF_WINDOWS else Choice()
        if not given.system:
            choice = Choice(method=given.kind, stop=0.9) if given.kind in OF_WINDOWS else Choice(threshold=0.3)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        turns = diarize(path, folder, choice, right)
        spent, peak = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rate = diarization_errors(right, turns, [(0.0, right[-1][1])], collar_each_side_s=0.25).rate
    sys.stdout.write(
        f"{given.kind}: {given.hours:g} h, {len(turns)} turns, {len({turn[2] for turn in turns})} speakers, DER "
        f"{rate:.1%}, {spent:.0f} s of CPU, peak {peak / 1024:.0f} MiB ({before / 1024:.0f} before)\n"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", help="a method of clustering, or a head")
    parser.add_argument("hours", nargs="?", type=float, default=2.0)
    parser.add_argument("--speech", type=Path, help="a folder with a folder of recordings per voice")
    parser.add_argument("--system", type=Path, help="a trained system")
    return parser.parse_args()


def write_recording(path: Path, parts: Iterator[tuple[str, np.ndarray]], hours: float) -> list[Turn]:
    """One voice after another with pauses of half a second; the turns."""
    turns: list[Turn] = []
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        while file.tell() < hours * 3600 * RATE:
            name, samples = next(parts)
            start_s = file.tell() / RATE
            file.write(samples)
            turns.append((start_s, file.tell() / RATE, name))
            file.write(np.zeros(RATE // 2, np.float32))
    return turns


def synthetic_voices() -> Iterator[tuple[str, np.ndarray]]:
    """Four buzzes of 7 s, in random order, without end."""
    rng = np.random.default_rng(1)
    parts = [voice(number, 7.0).astype(np.float32) for number in range(4)]
    while True:
        number = int(rng.integers(4))
        yield f"v{number}", parts[number]


def read_voices(speech: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The recordings of the first voices in random order, over and over."""
    voices = sorted(folder for folder in speech.iterdir() if folder.is_dir())[:VOICES]
    paths = [path for folder in voices for path in sorted(folder.glob("*.flac"))]
    for number in cycle(np.random.default_rng(1).permutation(len(paths)).tolist()):
        samples, _ = soundfile.read(paths[number], dtype="float32")
        yield paths[number].parent.name, samples


def random_system(folder: Path, kind: str) -> Path:
    """A tiny network with random weights, and a PLDA of made-up voices where one is needed."""
    if kind not in OF_WINDOWS:
        return end_to_end(folder, kind, tiny_network())
    write_system(folder, {"type": "asv"}, {"type": "ecapa", **SMALL}, ["a", "b", "c"], tiny_network())
    if kind != "cosine":
        write_backend(folder, Backend(plda=_plda(SMALL["embedding"])))
    return folder


def _plda(width: int) -> Plda:
    """One of twelve voices around points of their own."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(12, width))
    embeddings = np.repeat(centres, 20, axis=0) + 0.3 * rng.normal(size=(240, width))
    return fit_plda(embeddings, [str(number) for number in range(12) for _ in range(20)], 8)


if __name__ == "__main__":
    main()
