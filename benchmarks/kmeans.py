"""Our codebook's k-means against scikit-learn's MiniBatchKMeans, which HuBERT's recipe has.

Both see the same frames, as often as each other or for as long as each other. Inertia is the mean
squared distance of all frames to their nearest centroid, always found by the same exact search.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Claim, Figure, compare, missing
from benchmarks.speech import utterances
from wavlm.mfcc import MFCC_RATE_HZ, mfcc
from wavlm.rng import rng_for
from wavlm.targets import FRAME_RATE_HZ

Floats = npt.NDArray[np.float32]

PEER = "scikit-learn MiniBatchKMeans"
BATCH_FRAMES = 10_000  # HuBERT's learn_kmeans.py, as is what `_mini_batch` sets
PASSES = 8
MFCC_SECONDS = 300.0
HIDDEN_FRAMES, HIDDEN_CHANNELS, HIDDEN_CLUSTERS = 20_000, 768, 500


@dataclass(frozen=True)
class Case:
    """Frames to cluster, (F, D), and into how many clusters."""

    name: str
    frames: Floats
    num_clusters: int
    rate_hz: int
    what: str

    @property
    def seconds(self) -> float:
        """Of audio that has so many frames."""
        return len(self.frames) / self.rate_hz


def _claims(case: str) -> tuple[Claim, ...]:
    name = f"kmeans.{case}"
    cpu = ("cpu",)
    return (
        Claim(f"{name}.pass", "x faster a pass", PEER, devices=cpu),
        Claim(f"{name}.inertia", "x at equal time", PEER, cpu="<= 1", devices=cpu),
        Claim(f"{name}.assign", "x faster", "scikit-learn predict", devices=cpu),
    )


MFCC_CLAIMS, HIDDEN_CLAIMS = _claims("mfcc"), _claims("hidden")
CLAIMS = (*MFCC_CLAIMS, *HIDDEN_CLAIMS)


def main(device: str) -> Iterator[Figure]:  # noqa: ARG001 - both sides have but a CPU's code
    if reason := missing("faiss", "sklearn"):
        yield from (claim.skipped("cpu", reason) for claim in CLAIMS)
        return
    for claims, case in ((MFCC_CLAIMS, _mfcc()), (HIDDEN_CLAIMS, _hidden())):
        yield from _measure(case, claims)


def _mfcc() -> Case:
    frames = np.concatenate([mfcc(waveform) for waveform in utterances(MFCC_SECONDS)])
    return Case("mfcc", frames, 100, MFCC_RATE_HZ, f"{len(frames)} frames of MFCC, K = 100")


def _hidden() -> Case:
    """Clouds around more centres than there are clusters, wide enough to overlap."""
    rng = rng_for(0, "hidden")
    centres = rng.standard_normal((3 * HIDDEN_CLUSTERS, HIDDEN_CHANNELS), dtype=np.float32)
    own = centres[rng.integers(len(centres), size=HIDDEN_FRAMES)]
    spread = rng.standard_normal(own.shape, dtype=np.float32)
    what = f"{HIDDEN_FRAMES} made-up frames of {HIDDEN_CHANNELS}, K = {HIDDEN_CLUSTERS}"
    return Case("hidden", own + spread, HIDDEN_CLUSTERS, FRAME_RATE_HZ, what)


def _measure(case: Case, claims: tuple[Claim, ...]) -> Iterator[Figure]:
    from wavlm.codebook import Centroids, cluster

    def ours() -> Any:
        return cluster(case.frames, case.num_clusters, iterations=PASSES, redo=1, seed=0)

    def theirs() -> Any:
        return _mini_batches(case, passes=PASSES)

    a_pass, inertia, assign = claims
    times = compare({"ours": ours, "theirs": theirs}, rounds=3, warmup=0)
    speed = times["theirs"].median / times["ours"].median
    found, at_equal_passes = Centroids(ours().centroids), theirs()
    of_ours, of_theirs = found.fit(case.frames), _fit(case, at_equal_passes)
    note = (
        f"{PASSES} passes, {times['ours'].median:.2f} s for ours; inertia after them "
        f"{of_ours.inertia_per_frame:.4g}, theirs {of_theirs:.4g}; {case.what}"
    )
    yield a_pass.figure(speed, "cpu", note)
    as_long = _fit(case, _mini_batches(case, seconds=times["ours"].median))
    yield inertia.figure(of_ours.inertia_per_frame / as_long, "cpu", case.what)
    searches = compare(
        {
            "ours": lambda: found.assign(case.frames),
            "theirs": lambda: at_equal_passes.predict(case.frames),
        }
    )
    rates = {name: case.seconds / timing.median for name, timing in searches.items()}
    words = f"ours {rates['ours']:,.0f}, theirs {rates['theirs']:,.0f} x real time a core"
    yield assign.figure(rates["ours"] / rates["theirs"], "cpu", f"{words}; {case.what}")


def _mini_batches(case: Case, passes: int | None = None, seconds: float = 0.0) -> Any:
    """scikit-learn's model after so many passes, or after so many seconds of CPU time."""
    model = _mini_batch(case.num_clusters)
    shuffled = case.frames[rng_for(0, "order").permutation(len(case.frames))]
    began = time.process_time()
    done = 0
    while done < passes if passes is not None else time.process_time() - began < seconds:
        for first in range(0, len(shuffled), BATCH_FRAMES):
            model.partial_fit(shuffled[first : first + BATCH_FRAMES])
        done += 1
    return model


def _mini_batch(num_clusters: int) -> Any:
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(
        n_clusters=num_clusters,
        init="k-means++",
        batch_size=BATCH_FRAMES,
        n_init=1,  # 20 there; each side gets one start here
        reassignment_ratio=0.0,
        random_state=0,
    )


def _fit(case: Case, model: Any) -> float:
    from wavlm.codebook import Centroids

    centroids = np.asarray(model.cluster_centers_, np.float32)
    return Centroids(centroids).fit(case.frames).inertia_per_frame
