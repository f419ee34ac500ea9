"""Peak memory of diarizing two hours: synthetic voices, a tiny network, one system per run.

OMP_NUM_THREADS=1 PYTHONPATH=. python -m tests.systems.diarization.long_recording eend_vc
OMP_NUM_THREADS=1 PYTHONPATH=. python -m tests.systems.diarization.long_recording cosine    # or plda, vbx, eend_gla
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from tests.systems.diarization.made import RATE, SMALL, end_to_end, voice, write_system
from tests.tiny_specs import tiny_network
from wavlm.systems.diarization.backend import Backend, write_backend
from wavlm.systems.diarization.diarize import Choice, diarize
from wavlm.systems.diarization.plda import Plda, fit_plda

HOURS = 2.0


def main(system: str, hours: float = HOURS) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        path = root / "meeting.wav"
        rng = np.random.default_rng(1)
        parts = [np.pad(voice(number, 7.0), (0, RATE // 2)).astype(np.float32) for number in range(4)]
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
            while file.tell() < hours * 3600 * RATE:
                file.write(parts[int(rng.integers(4))])
        learned = ["a", "b", "c"]
        if system in ("cosine", "plda", "vbx"):
            head = {"type": "ecapa", **SMALL}
            folder = write_system(root / "system", {"type": "asv"}, head, learned, tiny_network())
            choice = Choice(method=system, stop=0.9)
            if system != "cosine":
                write_backend(folder, Backend(plda=_plda(SMALL["embedding"])))
        else:
            folder = end_to_end(root / "system", system, tiny_network())
            choice = Choice(threshold=0.3)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        turns = diarize(path, folder, choice)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sys.stdout.write(
            f"{system}: {hours:g} h, {len(turns)} turns, {len({turn[2] for turn in turns})} speakers, "
            f"{time.process_time() - started:.0f} s of CPU, peak {peak / 1024:.0f} MiB ({before / 1024:.0f} before)\n"
        )


def _plda(width: int) -> Plda:
    """One of twelve voices around points of their own."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(12, width))
    embeddings = np.repeat(centres, 20, axis=0) + 0.3 * rng.normal(size=(240, width))
    return fit_plda(embeddings, [str(number) for number in range(12) for _ in range(20)], 8)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else HOURS)
