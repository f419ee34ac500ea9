"""Fitting a head on means of utterances, against fitting the same head on their frames.

The heads of KS, SID, IC and ER take the mean over time, and nothing in them bends before it. So the mean of a whole
utterance can be taken first, once, for all updates, learning rates and seeds. Both sides fit the same head from the
same weights on the same batches; features are computed already on both sides, and lie in memory.

Legend: S states, F frames, D channels.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Claim, Figure, NotTheSameError, number
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.fit.head import Fitted, Sets, fit_head, predict
from wavlm.evaluation.heads.pooled_linear import PooledLinear
from wavlm.evaluation.results.facts import Figure as Score
from wavlm.evaluation.tasks.classification import Classifier
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.features.mfcc import Floats
from wavlm.rng import rng_for
from wavlm.specs.evaluation import FitSpec
from wavlm.specs.heads import PooledLinearHead

FRAMES = "the same head on frames"
SPEEDUP = Claim("pooled.speedup_vs_frames", "x faster", FRAMES, cpu=">= 50", devices=("cpu",))
LOGITS = Claim("pooled.logit_difference", "relative", FRAMES, cpu="<= 0.0001", devices=("cpu",))
SCORES = Claim("pooled.score_difference", "absolute", FRAMES, cpu="<= 0", devices=("cpu",))
CLAIMS = (LOGITS, SCORES, SPEEDUP)

NUM_STATES, NUM_CHANNELS, NUM_FRAMES = 13, 768, (150, 250)  # Base; utterances of 3 to 5 s
NUM_CLASSES, PER_CLASS, BATCH, UPDATES, ROUNDS = 4, 12, 8, 40, 2
SIGNAL = 0.006  # of a class, beside 0.05 of an utterance and 1 of a frame: not every utterance comes out right
SIZE = Size(NUM_STATES, NUM_CHANNELS, 320)
CLASSES = {"class": tuple(map(str, range(NUM_CLASSES)))}


class InMemory(Features):
    """States (S, F, D) by key."""

    def __init__(self, states: dict[str, Floats]) -> None:
        self._states = states

    def read(self, key: str) -> Floats:
        return self._states[key]

    def count(self, key: str) -> int:
        return int(self._states[key].shape[1])


class OnFrames(Classifier):
    """The classifier as the reference has it: weighted sum and projection of each frame, then the mean over time."""

    def make_head(self, size: Size) -> torch.nn.Module:
        return MeanOfFrames(size.num_states, size.num_channels, self.head.projection, [NUM_CLASSES])

    def loss(self, head: torch.nn.Module, batch: Batch) -> torch.Tensor:
        (logits,) = head(batch.states, batch.num_frames)
        wanted = [int(item.target["class"]) for item in batch.examples]  # type: ignore[index,call-overload,arg-type]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(wanted))

    def predict(self, head: torch.nn.Module, batch: Batch) -> list[object]:  # type: ignore[override]
        (logits,) = head(batch.states, batch.num_frames)
        return [{"class": str(best)} for best in logits.argmax(dim=1).tolist()]


class MeanOfFrames(PooledLinear):
    """Logits of padded frames (B, S, F, D)."""

    def forward(self, states: torch.Tensor, num_frames: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        frames = self.projection(self.sum(states))  # (B, F, projection)
        inside = torch.arange(frames.shape[1]) < num_frames[:, None]
        means = (frames * inside[:, :, None]).sum(dim=1) / num_frames[:, None]
        return (self.classifier(means),)


def main(device: str) -> Iterator[Figure]:
    examples, states = _make_examples()
    means = {key: item.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32) for key, item in states.items()}
    train = [item for item in examples if item.part == "train"]
    dev = [item for item in examples if item.part == "dev"]
    sides = {
        "pooled": (Classifier(CLASSES, PooledLinearHead(type="pooled_linear")), InMemory(means)),
        "frames": (OnFrames(CLASSES, PooledLinearHead(type="pooled_linear")), InMemory(states)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    fitted: dict[str, Fitted] = {}
    for classifier, features in sides.values():
        _fit(classifier, Sets(train, dev, features, SIZE), updates=1)  # imports, first touches of memory
    for turn in range(ROUNDS):
        for name in list(sides) if turn % 2 == 0 else reversed(list(sides)):
            classifier, features = sides[name]
            fitted[name], spent = _fit(classifier, Sets(train, dev, features, SIZE))
            seconds[name].append(spent)
    yield LOGITS.figure(_logit_difference(fitted, states, dev), device, "largest of the dev part, after fitting")
    scores = {name: _score(*sides[name], fitted[name], dev) for name in sides}
    if scores["pooled"].value in (0.0, 1.0 / NUM_CLASSES):
        raise NotTheSameError("nothing was learned, so equal scores mean nothing")
    note = f"accuracy {number(scores['pooled'].value)} and {number(scores['frames'].value)} of {len(dev)} utterances"
    yield SCORES.figure(abs(scores["pooled"].value - scores["frames"].value), device, note)
    ours, theirs = (statistics.median(seconds[name]) for name in sides)
    note = (
        f"{UPDATES} updates of {BATCH} utterances of 3 to 5 s, Base: {number(1e3 * ours)} ms, {number(1e3 * theirs)} ms"
    )
    yield SPEEDUP.figure(theirs / ours, device, note)


def _make_examples() -> tuple[list[Example], dict[str, Floats]]:
    """Utterances whose classes differ a little in the mean of their frames, hidden under noise."""
    rng = rng_for(0, "benchmark", "pooled")
    centres = SIGNAL * rng.normal(size=(NUM_CLASSES, NUM_STATES, 1, NUM_CHANNELS))
    examples, states = [], {}
    for row in range(NUM_CLASSES * PER_CLASS):
        label, frames = row % NUM_CLASSES, int(rng.integers(*NUM_FRAMES))
        example = Example(
            f"u{row}", f"s{row}", "dev" if row % 3 == 2 else "train", 320 * frames, Take(0, row), {"class": str(label)}
        )
        noise = rng.normal(size=(NUM_STATES, frames, NUM_CHANNELS)) + 0.05 * rng.normal(
            size=(NUM_STATES, 1, NUM_CHANNELS)
        )
        examples.append(example)
        states[example.key] = (noise + centres[label]).astype(np.float32)
    return examples, states


def _fit(classifier: Classifier, sets: Sets, updates: int = UPDATES) -> tuple[Fitted, float]:
    """The head and the process CPU seconds of its fit."""
    fit = FitSpec(learning_rates=(1e-3,), updates=updates, batch=BATCH, dev_every=updates)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        found = fit_head(classifier, sets, fit, 1e-3, 0, Path(folder) / "fit.safetensors")
        return found, time.process_time() - began


def _logit_difference(fitted: dict[str, Fitted], states: dict[str, Floats], dev: list[Example]) -> float:
    """The largest difference of a logit of the dev part, by the largest logit."""
    pooled, frames = (fitted[name].head for name in ("pooled", "frames"))
    worst, scale = 0.0, 0.0
    with torch.inference_mode():
        for example in dev:
            batch = torch.from_numpy(states[example.key])[None]
            (ours,) = pooled(batch.mean(dim=2))
            (theirs,) = frames(batch, torch.tensor([batch.shape[2]]))
            worst = max(worst, float((ours - theirs).abs().max()))
            scale = max(scale, float(theirs.abs().max()))
    return worst / scale


def _score(classifier: Classifier, features: Features, fitted: Fitted, dev: list[Example]) -> Score:
    return classifier.score(dev, predict(classifier, fitted.head, dev, features, "cpu"))[0]
