"""How often each utterance is drawn in an epoch, where a recipe gives shares of corpora or languages.

An utterance that should be drawn w times per epoch has a phase p in [0, 1). In epoch e it is drawn

    floor((e + 1) w + p) - floor(e w + p)

times: systematic sampling (Madow and Madow 1944, doi 10.1214/aoms/1177731312). So it is drawn floor(n w) or ceil(n w)
times in any n epochs one after the other, and in all of them together w times per epoch. Nothing is remembered from
epoch to epoch: epoch and seed alone decide.

The phases of the utterances of a group are evenly spaced, in random order. So the number of draws of a group in an
epoch is as exact as that of an utterance: the whole number below or above, and at most one more or less than that.

This is arithmetic with whole numbers: w and p are multiples of 2^-32, and additions of uint32 leave the fraction.

Legend: U utterances, G groups, D draws of an epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from wavlm.rng import rng_for

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]
Phases = npt.NDArray[np.uint32]
ONE = 2**32  # the unit of phases and of times


@dataclass(frozen=True)
class Drawn:
    """The draws of an epoch, those of one utterance side by side. All arrays have an entry per draw, (D,)."""

    utterances: Integers
    repeats: Counts  # how many draws of the same utterance come before it
    counts: Counts  # how often its utterance is drawn

    def places(self, rng: np.random.Generator) -> Numbers:
        """A random place in [0, 1) for each draw: (D,). Draws of one utterance are spread evenly.

        Of c draws of an utterance number k is anywhere in the k-th of c equal parts. So draws of one utterance seldom
        come to one micro-batch, and utterances that are drawn often are everywhere among the others.
        """
        places: Numbers = (self.repeats + rng.random(len(self.utterances))) / self.counts
        return places


class DrawPlan:
    """How often the utterances of each group are drawn, in every epoch."""

    def __init__(self, groups: npt.NDArray[np.integer], times: Sequence[float], seed: int) -> None:
        """groups (U,): the group of each utterance; times (G,): draws of an utterance of that group per epoch."""
        self._groups = groups
        self._times = [round(value * ONE) for value in times]
        self._seed = seed

    @cached_property
    def _phases(self) -> Phases:
        """The phase of each utterance, (U,)."""
        return _space_phases(self._groups, len(self._times), self._seed)

    def counts(self, epoch: int, utterances: Integers | slice = slice(None)) -> Counts:
        """How often each utterance, or each of some, is drawn in an epoch."""
        groups, phases = self._groups[utterances], self._phases[utterances]
        wholes = np.array([times // ONE for times in self._times], np.int32)
        starts = np.array([epoch * times % ONE for times in self._times], np.uint32)
        counts: Counts = wholes[groups]
        # The fraction of e w + p, and how far it may be from the next whole number: w is then too short to reach it.
        fractions = phases + starts[groups]
        limits = np.array([ONE - times % ONE for times in self._times], np.int64)
        counts += fractions >= limits[groups]
        return counts

    def draw(self, epoch: int) -> Drawn:
        """The draws of an epoch, in the order of the utterances."""
        counts = self.counts(epoch)
        utterances = np.repeat(np.arange(len(counts)), counts)
        firsts = np.cumsum(counts) - counts
        repeats = (np.arange(len(utterances)) - firsts[utterances]).astype(np.int32)
        return Drawn(utterances, repeats, counts[utterances])

    @property
    def fingerprint(self) -> str:
        """Hex digest of which utterance is drawn how often, in every epoch."""
        digest = hashlib.sha256(repr(self._times).encode())
        digest.update(np.ascontiguousarray(self._groups, "<i4").tobytes())
        return digest.hexdigest()


def _space_phases(groups: npt.NDArray[np.integer], num_groups: int, seed: int) -> Phases:
    """A phase for each utterance (U,): within each group evenly spaced and in random order, in units of 1 / ONE."""
    phases = np.empty(len(groups), np.uint32)
    ends = np.cumsum(np.bincount(groups, minlength=num_groups))
    for group, members in enumerate(np.split(np.argsort(groups, kind="stable"), ends[:-1])):
        rng = rng_for(seed, "phase", group)
        offset = int(rng.integers(ONE))  # so that each phase is uniform
        phases[rng.permutation(members)] = (np.arange(len(members)) * ONE + offset) // max(1, len(members))
    return phases
