"""Our codebook's k-means against scikit-learn's MiniBatchKMeans, which HuBERT's recipe has.

Both see the same frames. Inertia is the mean squared distance of all frames to their nearest
centroid, always found by the same exact search; it is compared after equal CPU time, of which
scikit-learn's careful start (k-means++) is a part.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import Claim, Figure, compare, find_missing
from benchmarks.speech import utterances
from wavlm.features.mfcc import mfcc
from wavlm.rng import rng_for
from wavlm.specs.base import FRAME_RATE_HZ

Floats = npt.NDArray[np.float32]

PEER = "scikit-learn MiniBatchKMeans"
BATCH_FRAMES = 10_000  # HuBERT's learn_kmeans.py, as is what `_mini_batch` sets
MFCC_PASSES, HIDDEN_PASSES = 25, 8  # 25 is a codebook's default
MFCC_SECONDS = 300.0
HIDDEN_FRAMES, HIDDEN_CHANNELS, HIDDEN_CLUSTERS = 10_000, 768, 500


@dataclass(frozen=True)
class Case:
    """Frames to cluster, (F, D), and into how many clusters."""

    frames: Floats
    num_clusters: int
    rate_hz: int
    passes: int
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
    if reason := find_missing("faiss", "sklearn"):
        yield from (claim.skip("cpu", reason) for claim in CLAIMS)
        return
    sounds = _mfcc()
    yield from _measure(sounds, MFCC_CLAIMS)
    yield from _measure(_hidden(sounds), HIDDEN_CLAIMS)


def _mfcc() -> Case:
    frames = np.concatenate([mfcc(waveform) for waveform in utterances(MFCC_SECONDS)])
    what = f"{len(frames)} frames of MFCC, K = 100"
    return Case(frames, 100, 2 * FRAME_RATE_HZ, MFCC_PASSES, what)


def _hidden(sounds: Case) -> Case:
    """What a random layer makes of five frames of MFCC: as continuous as what speech gives."""
    rng = rng_for(0, "hidden")
    scaled = (sounds.frames - sounds.frames.mean(0)) / sounds.frames.std(0)
    around = np.lib.stride_tricks.sliding_window_view(scaled, 5, axis=0)[:HIDDEN_FRAMES]
    inputs = around.reshape(len(around), -1)  # (F, 195)
    weights = rng.standard_normal((inputs.shape[1], HIDDEN_CHANNELS), dtype=np.float32)
    frames = np.tanh(inputs @ weights / np.float32(np.sqrt(len(weights))))
    what = f"{len(frames)} frames of a random layer of {HIDDEN_CHANNELS}, K = {HIDDEN_CLUSTERS}"
    return Case(frames, HIDDEN_CLUSTERS, FRAME_RATE_HZ, HIDDEN_PASSES, what)


def _measure(case: Case, claims: tuple[Claim, ...]) -> Iterator[Figure]:
    from wavlm.labels.centroids import Centroids
    from wavlm.labels.kmeans import cluster

    def ours() -> Any:
        return cluster(case.frames, case.num_clusters, iterations=case.passes, redo=1, seed=0)

    a_pass, inertia, assign = claims
    peer = _MiniBatches(case)
    times = compare({"ours": ours, "theirs": deepcopy(peer).go_on}, rounds=3, warmup=0)
    speed = times["theirs"].median / times["ours"].median
    what = f"each of {case.passes} passes, start not counted; {case.what}"
    yield a_pass.figure(speed, "cpu", what)
    found = Centroids(ours().centroids)
    of_ours = found.fit(case.frames).inertia_per_frame
    passes = peer.use_up(times["ours"].median)
    of_theirs = peer.inertia_per_frame
    what = (
        f"{of_ours:.4g} after {case.passes} passes and {times['ours'].median:.2f} s, theirs "
        f"{of_theirs:.4g} after {passes} and {peer.seconds:.2f} s; {case.what}"
    )
    yield inertia.figure(of_ours / of_theirs, "cpu", what)
    searches = compare(
        {
            "ours": lambda: found.assign(case.frames),
            "theirs": lambda: peer.model.predict(case.frames),
        }
    )
    rates = {name: case.seconds / timing.median for name, timing in searches.items()}
    words = f"ours {rates['ours']:,.0f}, theirs {rates['theirs']:,.0f} x real time per core"
    yield assign.figure(rates["ours"] / rates["theirs"], "cpu", f"{words}; {case.what}")


class _MiniBatches:
    """scikit-learn's model, started and past its first pass, and the CPU time that it has used."""

    def __init__(self, case: Case) -> None:
        self._shuffled = case.frames[rng_for(0, "order").permutation(len(case.frames))]
        self.model = _mini_batch(case.num_clusters)
        self.seconds = 0.0
        self._passes = case.passes
        self._pass()

    def go_on(self) -> None:
        """As many passes as ours makes in all."""
        for _ in range(self._passes):
            self._pass()

    def use_up(self, seconds: float) -> int:
        """Go on until so many seconds are used; how many passes that makes, the first included."""
        passes = 1
        while self.seconds < seconds:
            self._pass()
            passes += 1
        return passes

    @property
    def inertia_per_frame(self) -> float:
        from wavlm.labels.centroids import Centroids

        centroids = np.asarray(self.model.cluster_centers_, np.float32)
        return Centroids(centroids).fit(self._shuffled).inertia_per_frame

    def _pass(self) -> None:
        began = time.process_time()
        for first in range(0, len(self._shuffled), BATCH_FRAMES):
            self.model.partial_fit(self._shuffled[first : first + BATCH_FRAMES])
        self.seconds += time.process_time() - began


def _mini_batch(num_clusters: int) -> Any:
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(
        n_clusters=num_clusters,
        init="k-means++",
        batch_size=BATCH_FRAMES,
        init_size=3 * num_clusters,  # the default makes the start ten times as slow
        n_init=1,  # 20 there; each side gets one start here
        reassignment_ratio=0.0,
        random_state=0,
    )
