"""Writes references.json: what scorers of other authors give for the cases of tests.

They run in an environment of their own (pysptk and pyworld import pkg_resources, which new setuptools lack), from the
root of the repository:

    python -m venv /tmp/scorers
    /tmp/scorers/bin/pip install 'setuptools<81' numpy scipy soundfile mir_eval==0.8.2 spy-der==0.4.1 \
        pyworld==0.3.5 pysptk==1.0.1 fastdtw==0.3.4
    /tmp/scorers/bin/python -m tests.evaluation.metrics.references

The diarization needs ten clips of the AMI corpus (CC BY 4.0) with their turns; without them that part is kept as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.evaluation.metrics.cases import (
    AMI,
    CONVERSION_SECONDS,
    CONVERSIONS,
    PITCH_HZ,
    read_speech,
    read_turns,
    separated,
    spoil,
)

PATH = Path(__file__).with_name("references.json")


def score_diarization() -> dict[str, Any]:
    """By spyder, whose collar is that of md-eval: seconds per recording and collar on each side."""
    import spyder

    found = {}
    for number, (recording, turns) in enumerate(sorted(read_turns().items())):
        result = spoil(turns, number)
        for collar_s in (0.0, 0.25):
            score = spyder.DER(
                [(speaker, start_s, end_s) for start_s, end_s, speaker in turns],
                [(speaker, start_s, end_s) for start_s, end_s, speaker in result],
                uem=[(0.0, 30.0)],
                collar=collar_s,
            )
            parts = (score.miss, score.falarm, score.conf, 1.0)
            found[f"{recording} {collar_s}"] = [round(float(part) * score.duration, 6) for part in parts]
    return found


def score_separation() -> list[list[float]]:
    """By mir_eval: its SDR with a distortion filter of one tap is the SI-SDR. Rows are references, columns results."""
    from mir_eval import separation

    references, found, mixture = separated()

    def sdr_db(row: int, result: np.ndarray) -> float:
        parts = separation._bss_decomp_mtifilt(references[[row, 1 - row]], result, 0, 1)
        return float(separation._bss_source_crit(*parts)[0])

    return [[sdr_db(row, result) for result in (*found, mixture)] for row in range(2)]


def score_conversions() -> dict[str, list[float]]:
    """By pyworld, pysptk and fastdtw: with the exact path, and with the path that SUPERB's reference takes."""
    import fastdtw
    import pysptk
    import pyworld
    from scipy.signal import firwin, lfilter
    from scipy.spatial.distance import euclidean

    def cepstra(name: str) -> np.ndarray:
        samples = lfilter(firwin(255, 70 / 8000, pass_zero=False), 1, read_speech(name, CONVERSION_SECONDS) * 32767)
        pitch, times = pyworld.harvest(samples, 16_000, f0_floor=PITCH_HZ[0], f0_ceil=PITCH_HZ[1], frame_period=5)
        envelopes = pyworld.cheaptrick(samples, pitch, times, 16_000, fft_size=1024)
        powers = np.array([(row[0] + row[-1] + 2 * row[1:-1].sum()) / 1024 for row in envelopes])
        return pysptk.sp2mc(envelopes, 39, 0.42)[10 * np.log10(powers / powers.mean()) > -20]

    def distortion_db(path: list[tuple[int, int]], ours: np.ndarray, theirs: np.ndarray) -> float:
        squares = [((theirs[left] - ours[right]) ** 2).sum() for left, right in path]
        return float(np.mean(10 / np.log(10) * np.sqrt(2 * np.array(squares))))

    found = {}
    for name, pair in CONVERSIONS.items():
        ours, theirs = map(cepstra, pair)
        paths = (fastdtw.dtw(theirs, ours, dist=euclidean)[1], fastdtw.fastdtw(theirs, ours, dist=euclidean)[1])
        found[name] = [distortion_db(path, ours, theirs) for path in paths]
    return found


def warp_spectra() -> list[list[float]]:
    """By pysptk: the mel-cepstra of spectra that a formula makes."""
    import pysptk

    frequencies = np.linspace(0, np.pi, 513)
    spectra = np.stack([np.exp(2 * np.cos(frequencies * number)) + 0.1 * number for number in (1, 3)])
    return [pysptk.sp2mc(row, 39, 0.466).tolist() for row in spectra]


if __name__ == "__main__":
    kept = json.loads(PATH.read_text()) if PATH.exists() else {}
    made = {"separation": score_separation(), "conversion": score_conversions(), "cepstra": warp_spectra()}
    if AMI.exists():
        made["diarization"] = score_diarization()
    PATH.write_text(json.dumps({**kept, **made}, indent=1) + "\n")
