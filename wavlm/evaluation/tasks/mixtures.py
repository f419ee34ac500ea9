"""Referenceds with their references: those that a corpus has, and those that are made of single recordings.

What is made is made within each set of a split: no voice and no noise of one set is mixed into another. The draws of a
mixture are named after its two recordings.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.referenced import Referenced
from wavlm.rng import rng_for, seed_for
from wavlm.shards import Reader
from wavlm.shards.flac import Waveform
from wavlm.specs.generation import NoiseMixSpec, VoiceMixSpec

LARGEST = 0.99  # a louder mixture is scaled down to it, with its references
NOISE_SHARE = 0.2  # of the noise recordings: those of the test part, and those of the dev part
FEWEST_NOISES = 3
ROLES = ("train", "dev", "test")


@dataclass(frozen=True)
class Mixed:
    """Two recordings added up, the second one scaled to a level below the first."""

    first: Take
    second: Take
    num_samples: int
    offset: int  # samples of the second one that are left out; at its end it begins again
    ratio_db: float  # mean power of the first by that of the second, over the mixture

    def load(self, readers: Sequence[Reader]) -> Waveform:
        both: Waveform = self.load_parts(readers).sum(axis=0)
        return both

    def load_parts(self, readers: Sequence[Reader]) -> Waveform:
        """Both recordings as they are in the mixture, (2, N).

        Raises BadDataError (TARGET_BAD) if one of them is silent there: it has no level.
        """
        first = self.first.load(readers)[: self.num_samples].astype(np.float64)
        whole = self.second.load(readers).astype(np.float64)
        second = np.take(whole, np.arange(self.offset, self.offset + self.num_samples), mode="wrap")
        powers = [float((part**2).mean()) for part in (first, second)]
        _require_sound(powers, (self.first, self.second))
        parts = np.stack([first, second * np.sqrt(powers[0] / powers[1] * 10 ** (-self.ratio_db / 10))])
        return _as_loud_as_allowed(parts)


@dataclass(frozen=True)
class Staggered:
    """Two recordings added up, of which the second one begins later, scaled to a level below the first."""

    first: Take
    second: Take
    num_samples: int
    start: int  # the sample at which the second one begins
    ratio_db: float  # mean power of the first by that of the second, each over its own length

    def load(self, readers: Sequence[Reader]) -> Waveform:
        both: Waveform = self.load_parts(readers).sum(axis=0)
        return both

    def load_parts(self, readers: Sequence[Reader]) -> Waveform:
        """Both recordings as they are in the mixture, (2, N), with zeros around them.

        Raises BadDataError (TARGET_BAD) if one of them is silent: it has no level.
        """
        found = [take.load(readers).astype(np.float64) for take in (self.first, self.second)]
        powers = [float((part**2).mean()) for part in found]
        _require_sound(powers, (self.first, self.second))
        parts = np.zeros((2, self.num_samples))
        parts[0, : len(found[0])] = found[0]
        level = np.sqrt(powers[0] / powers[1] * 10 ** (-self.ratio_db / 10))
        parts[1, self.start : self.start + len(found[1])] = found[1] * level
        return _as_loud_as_allowed(parts)


@dataclass(frozen=True)
class Component:
    """One of the two recordings of a mixture, as it is in there."""

    mixed: Mixed | Staggered
    number: int

    def load(self, readers: Sequence[Reader]) -> Waveform:
        found: Waveform = self.mixed.load_parts(readers)[self.number]
        return found


def _require_sound(powers: Sequence[float], takes: Sequence[Take]) -> None:
    if all(powers):
        return
    name, take = ("first", takes[0]) if not powers[0] else ("second", takes[1])
    raise BadDataError(
        "TARGET_BAD",
        f"the {name} recording of a mixture is silent throughout it, so no level can be given to it; at row "
        f"{take.row} of the evaluation's shards folder {take.folder}; leave it out",
    )


def _as_loud_as_allowed(parts: npt.NDArray[np.float64]) -> Waveform:
    """Both parts (2, N), scaled down together where their sum would be too loud."""
    peak = float(np.abs(parts.sum(axis=0)).max())
    return (parts * min(1.0, LARGEST / peak)).astype(np.float32)


def mix_noise(split: Split, noises: Sequence[Example], spec: NoiseMixSpec) -> Split:
    """Each utterance with a stretch of a noise recording; each noise recording is in one set alone.

    Raises BadDataError (SPLIT_EMPTY) for fewer than three noise recordings.
    """
    contents = {item.content or item.key for item in noises}  # copies of a recording are one
    if len(contents) < FEWEST_NOISES:
        raise BadDataError(
            "SPLIT_EMPTY",
            f"found {len(contents)} noise recordings, expected {FEWEST_NOISES} or more: train, dev and test have their "
            "own; in the evaluation's noise corpora; add a corpus",
        )
    dealt = _deal(noises, spec.seed)
    sets = [
        tuple(_with_noise(_referenced(item), dealt[role], spec) for item in part)
        for role, part in zip(ROLES, (split.train, split.dev, split.test), strict=True)
    ]
    train, dev, test = sets
    return replace(split, train=train, dev=dev, test=test)


def mix_voices(split: Split, spec: VoiceMixSpec) -> Split:
    """Each utterance with one of another speaker of the same set.

    Raises BadDataError (SPLIT_EMPTY) for a set with a single speaker.
    """
    sets = []
    for role, part in zip(ROLES, (split.train, split.dev, split.test), strict=True):
        if len(speakers := {item.speaker for item in part}) < 2:
            raise BadDataError(
                "SPLIT_EMPTY",
                f"the {role} set has {len(speakers)} speaker, expected two or more: voices are mixed within a set; "
                f"among its {len(part)} examples; use another split or corpus",
            )
        sets.append(tuple(_with_voice(_referenced(item), _others(part, item.speaker), spec) for item in part))
    train, dev, test = sets
    return replace(split, train=train, dev=dev, test=test)


def _deal(noises: Sequence[Example], seed: int) -> dict[str, list[Example]]:
    """The noise recordings of each set, in the order of their hashes: test first, then dev."""
    contents = {item.content or item.key for item in noises}
    ordered = sorted(contents, key=lambda name: (seed_for(seed, "noise", name), name))
    count = max(1, round(NOISE_SHARE * len(ordered)))
    chosen = {"test": ordered[:count], "dev": ordered[count : 2 * count], "train": ordered[2 * count :]}
    by_key = sorted(noises, key=lambda item: item.key)
    return {role: [item for item in by_key if (item.content or item.key) in names] for role, names in chosen.items()}


def _with_noise(item: Referenced, noises: Sequence[Example], spec: NoiseMixSpec) -> Referenced:
    noise = noises[int(rng_for(spec.seed, "with", item.key).integers(len(noises)))]
    rng = rng_for(spec.seed, "mix", item.key, noise.key)
    offset, level = int(rng.integers(noise.num_samples)), round(float(rng.uniform(*spec.snr_db)), 2)
    mixed = Mixed(_take(item), _take(noise), item.num_samples, offset, level)
    return _as_mixed(item, noise, mixed, (Component(mixed, 0),))


def _with_voice(item: Referenced, others: Sequence[Example], spec: VoiceMixSpec) -> Referenced:
    other = others[int(rng_for(spec.seed, "with", item.key).integers(len(others)))]
    level = round(float(rng_for(spec.seed, "mix", item.key, other.key).uniform(*spec.ratio_db)), 2)
    shorter = min(item.num_samples, other.num_samples)
    share = float(rng_for(spec.seed, "overlap", item.key, other.key).uniform(*spec.overlap))
    mixed: Mixed | Staggered
    if spec.overlap == (1.0, 1.0):
        mixed = Mixed(_take(item), _take(other), shorter, 0, level)
    else:
        start = item.num_samples - round(share * shorter)
        length = max(item.num_samples, start + other.num_samples)
        mixed = Staggered(_take(item), _take(other), length, start, level)
    return _as_mixed(item, other, mixed, (Component(mixed, 0), Component(mixed, 1)))


def _as_mixed(
    item: Referenced, other: Example, mixed: Mixed | Staggered, references: tuple[Component, ...]
) -> Referenced:
    target: dict[str, JsonValue] = {"clean": item.key, "with": other.key, "ratio_db": mixed.ratio_db}
    if len(references) > 1:
        target["speakers"] = [item.speaker, other.speaker]
    key = f"{item.key}+{other.key}"
    return replace(item, key=key, num_samples=mixed.num_samples, audio=mixed, target=target, references=references)


def _others(part: Sequence[Example], speaker: str) -> list[Example]:
    return [item for item in part if item.speaker != speaker]


def _referenced(item: Example) -> Referenced:
    assert isinstance(item, Referenced)  # noqa: S101 - made by the same task
    return item


def _take(item: Example) -> Take:
    assert isinstance(item.audio, Take)  # noqa: S101 - a single recording
    return item.audio
