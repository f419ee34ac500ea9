"""The corpus and the language of each utterance: how often a recipe wants them drawn, and how much of each is drawn.

Legend: U utterances, B utterances of a micro-batch, C corpora, L languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from wavlm.loader.draws import DrawPlan, Integers
from wavlm.loader.epochs import MicroBatch
from wavlm.specs import Group, TrainSpec
from wavlm.specs.sampling import MOST_LANGUAGES, name_metric, refuse_strangers

Numbers = npt.NDArray[np.integer[Any]]
OTHERS = "others"


@dataclass(frozen=True)
class Groups:
    """What corpus and what language each utterance is of."""

    corpora: tuple[str, ...]  # names, by number
    languages: tuple[str, ...]  # names, by number, in the order of the alphabet
    corpus: Numbers  # (U,)
    language: Numbers  # (U,)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What `count_frames` counts: corpora, and then languages; nothing where there is one corpus or language."""
        return tuple(name for name, _ in self._counted)

    def count_frames(self, micro_batches: Sequence[MicroBatch]) -> tuple[int, ...]:
        """How many frames of one micro-batch or more are of each of `names`."""
        if not self._counted:
            return ()
        numbers = np.concatenate([item.utterances for item in micro_batches])
        frames = np.repeat(
            [item.num_frames for item in micro_batches], [len(item.utterances) for item in micro_batches]
        )
        of_corpora = np.bincount(self.corpus[numbers], frames, len(self.corpora))
        of_languages = np.bincount(self.language[numbers], frames, len(self.languages))
        both = np.concatenate((of_corpora, of_languages))
        return tuple(int(both[places].sum()) for _, places in self._counted)

    @cached_property
    def _counted(self) -> list[tuple[str, list[int]]]:
        """Names, and their places among all corpora (C,) and then all languages (L,)."""
        places: dict[str, list[int]] = {}
        if len(self.corpora) > 1:
            places |= {f"corpus/{name}": [number] for number, name in enumerate(self.corpora)}
        if len(self.languages) > 1:
            counts = np.bincount(self.language, minlength=len(self.languages)).tolist()
            measured = name_measured(dict(zip(self.languages, counts, strict=True)))
            for number, name in enumerate(self.languages):
                places.setdefault(f"language/{measured[name]}", []).append(len(self.corpora) + number)
        return list(places.items())


def name_measured(utterances: Mapping[str, int]) -> dict[str, str]:
    """The names of languages in metrics, given how many utterances there are of each.

    Those with fewest utterances, behind the first 200, are measured together as `others`.
    """
    ordered = sorted(utterances, key=lambda name: (-utterances[name], name))
    return {name: name_metric(name) if place < MOST_LANGUAGES else OTHERS for place, name in enumerate(ordered)}


def plan_draws(groups: Groups, num_frames: Integers, train: TrainSpec) -> DrawPlan | None:
    """How often each utterance is drawn; None: once per epoch. num_frames (U,): of the longest crop of each.

    Raises UsageError (SAMPLING) if there are no utterances of what has a weight, or no language is known.
    """
    if train.sampling is None:
        return None
    found, number = _number_pairs(groups)
    refuse_strangers(train.sampling, found, "train.sampling")
    amounts = dict(zip(found, np.bincount(number, weights=num_frames).tolist(), strict=True))
    times = train.sampling.times(amounts)
    return DrawPlan(number, [times[group] for group in found], train.seed)


def _number_pairs(groups: Groups) -> tuple[list[Group], Numbers]:
    """The pairs of a corpus and a language that occur, and the number of that of each utterance (U,)."""
    width = len(groups.languages)
    pair = groups.corpus.astype(np.int32) * width + groups.language
    there = np.flatnonzero(np.bincount(pair, minlength=len(groups.corpora) * width))
    number_of = np.zeros(len(groups.corpora) * width, np.int32)
    number_of[there] = np.arange(len(there))
    found = [Group(groups.corpora[place // width], groups.languages[place % width]) for place in there.tolist()]
    return found, number_of[pair]
