"""The label pass: what it costs beside the forward that it needs, and what it writes.

The pass decodes the shards, computes features, finds each frame's nearest centroid and writes the
labels; the bare forward has its waveforms on the device already and throws its output away. Both
load the same network anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from benchmarks.harness import Claim, Figure, compare, find_missing
from benchmarks.jobs import SMALL
from benchmarks.speech import Speech, speech
from benchmarks.workload import BASE
from wavlm.features.chunk import group_by_length
from wavlm.features.extract import ExtractionPlan, extraction_plan
from wavlm.features.frame_function import frame_function
from wavlm.features.hidden import single_precision
from wavlm.nn import WavLM, load_model, save_model
from wavlm.specs import (
    CodebookSpec,
    Features,
    HiddenFeatures,
    MfccFeatures,
    NetworkSpec,
)

TEACHER_VARIABLE = "WAVLM_BENCH_TEACHER"  # folder of a trained model, for the size of its labels
LAYER = 6  # of Base: what the paper clusters
NUM_UTTERANCES, SECONDS = {"cpu": 2, "cuda": 390}, {"cpu": (8.0, 8.0), "cuda": (13.0, 15.6)}
CORES = 4  # that decode for a GPU
NUM_CLUSTERS = 500

COST = Claim("labels.cost", "x", "the bare forward", cpu="<= 1.05", cuda="<= 1.05")
RATE = Claim("labels.rate", "x real time")
MFCC_RATE = Claim("labels.mfcc_rate", "x real time")
MFCC_BYTES = Claim("labels.mfcc_bytes", "MB per hour", cpu="<= 0.25", devices=("cpu",))
HIDDEN_BYTES = Claim("labels.hidden_bytes", "MB per hour", cpu="<= 0.25", devices=("cpu",))
CLAIMS = (COST, RATE, MFCC_RATE, MFCC_BYTES, HIDDEN_BYTES)


def main(device: str) -> Iterator[Figure]:
    """Costs on synthetic audio, as much as there is time for; sizes on what may be given."""
    if reason := find_missing("faiss", "webdataset", "pyarrow"):
        yield from (claim.skip(device, reason) for claim in CLAIMS)
        return
    with speech(NUM_UTTERANCES[device], SECONDS[device], may_be_given=False) as audio:
        yield from _cost(audio, device)
    with speech() as audio:
        yield from _passes(audio, device)


def _cost(audio: Speech, device: str) -> Iterator[Figure]:
    """Six layers of Base, random weights: they take the time that trained ones take."""
    teacher = _save_untrained(BASE.model_copy(update={"num_layers": LAYER}), audio.work / "teacher")
    spec = _hidden(LAYER, frames_per_cluster=2)
    label = _Pass(audio, spec, teacher, device)
    forward = _Forward(audio, teacher, spec.features, device)
    times = compare({"ours": label, "forward": forward}, device, rounds=2)
    ours, bare = times["ours"].median, times["forward"].median
    seconds = audio.seconds
    what = f"{LAYER} layers of Base, K = {NUM_CLUSTERS}, fp32; {audio.note}"
    yield COST.figure(ours / bare, device, f"forward {seconds / bare:,.0f} x real time; {what}")
    yield RATE.figure(seconds / ours, device, what)


def _passes(audio: Speech, device: str) -> Iterator[Figure]:
    by_mfcc = _Pass(audio, CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=100), None, device)
    timing = compare({"ours": by_mfcc}, device, rounds=2)["ours"]
    what = f"K = 100 at 100 Hz; {audio.note}"
    yield MFCC_RATE.figure(audio.seconds / timing.median, device, what)
    if device != "cpu":
        return
    yield MFCC_BYTES.figure(by_mfcc.megabytes_an_hour, device, what)
    given = os.environ.get(TEACHER_VARIABLE)
    teacher = Path(given) if given else _save_untrained(SMALL, audio.work / "small")
    layer = max(1, load_model(teacher).network.num_layers // 2)
    hidden = _Pass(audio, _hidden(layer, frames_per_cluster=20), teacher, device)
    hidden()
    of_whom = "a trained" if given else "an untrained, small"
    what = f"layer {layer} of {of_whom} network, K = {NUM_CLUSTERS} at 50 Hz; {audio.note}"
    yield HIDDEN_BYTES.figure(hidden.megabytes_an_hour, device, what)


def _plan(device: str) -> ExtractionPlan:
    """This process alone, so that its CPU time is all that a pass takes; on a GPU, as the stage."""
    if device == "cpu":
        return ExtractionPlan(device, 1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
    return extraction_plan(CORES)


def _hidden(layer: int, frames_per_cluster: int) -> CodebookSpec:
    return CodebookSpec(
        features=HiddenFeatures(type="hidden", layer=layer),
        num_clusters=NUM_CLUSTERS,
        sample_frames_per_cluster=frames_per_cluster,
        iterations=10,
    )


def _save_untrained(spec: NetworkSpec, folder: Path) -> Path:
    torch.manual_seed(0)
    folder.mkdir()
    save_model(WavLM(spec, NUM_CLUSTERS), folder)
    return folder


class _Pass:
    """The labels stage, its codebook made before; each call writes all labels anew."""

    def __init__(self, audio: Speech, spec: CodebookSpec, teacher: Path | None, device: str) -> None:
        from wavlm.labels.codebook import build_codebook

        self._audio, self._spec, self._teacher = audio, spec, teacher
        self._plan = _plan(device)
        self._codebook = audio.work / f"codebook-{spec.features.type}"
        self._numbers = count()
        self._codebook.mkdir()
        build_codebook(spec, {"speech": audio.shards}, teacher, self._codebook, self._plan)

    def __call__(self) -> None:
        from wavlm.labels.build import build_labels

        self._out = self._audio.work / f"{self._spec.features.type}-{next(self._numbers)}"
        self._out.mkdir()
        build_labels(
            self._codebook,
            self._spec.features,
            self._audio.shards,
            self._teacher,
            self._out,
            self._plan,
        )

    @property
    def megabytes_an_hour(self) -> float:
        """Of all label files of the last call."""
        written = sum(path.stat().st_size for path in self._out.glob("*.parquet"))
        return written / 1e6 / (self._audio.seconds / 3600)


class _Forward:
    """The network alone, in the label pass' own batches, on waveforms that lie on the device."""

    def __init__(self, audio: Speech, teacher: Path, features: Features, device: str) -> None:
        self._teacher, self._features, self._device = teacher, features, device
        waveforms = [torch.from_numpy(one) for one in audio.waveforms(audio.seconds)]
        lengths = [len(waveform) for waveform in waveforms]
        self._batches = [
            (
                pad_sequence([waveforms[number] for number in group], batch_first=True).to(device),
                torch.tensor([lengths[number] for number in group]) if len(group) > 1 else None,
            )
            for group in group_by_length(lengths, _plan(device).batch_samples)
        ]

    def __call__(self) -> None:
        function = frame_function(self._features, self._teacher, self._device)
        with torch.inference_mode(), single_precision():
            for waveforms, num_samples in self._batches:
                function.compute(waveforms, num_samples)
