"""The phone contrasts of some utterances, measured by ABX in each layer of a model, within and across speakers.

Legend: F frames, D channels, N layers, T triplets, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wavlm.evaluation.facts import MODES, AbxScore, Mode, Unit
from wavlm.evaluation.fast.abx import (
    Doubles,
    Integers,
    average_errors,
    draw_errors,
    find_interval,
    judge_triplets,
)
from wavlm.evaluation.fast.tokens import find_tokens
from wavlm.evaluation.fast.triplets import Triplets, draw_triplets
from wavlm.evaluation.paired import FEWEST_SPEAKERS
from wavlm.features.mfcc import Floats
from wavlm.rng import seed_for
from wavlm.shards import Utterance
from wavlm.specs import ScoresSpec
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid

FEWEST_CELLS = 10  # a mean of fewer says nothing
FEWEST_BLOCKS = 5  # an interval of fewer says nothing
CONFIDENCE = 0.95


@dataclass(frozen=True)
class TokenBlocks:
    """What is drawn for intervals, and the number of each token's block. Tokens without a triplet have any."""

    unit: Unit
    num: int
    of_token: Integers


class Contrasts:
    """Triplets of the tokens of utterances, which follow from the phones alone: they are the same for every model."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        corpora: Sequence[int],
        spec: ScoresSpec,
        grid: FrameGrid = PAPER_FRAMES,
    ) -> None:
        """corpora: the number of the corpus of each utterance."""
        self._seed = spec.seed
        self._tokens = find_tokens(utterances, corpora, grid) if spec.abx_cells else []
        drawn = {mode: draw_triplets(self._tokens, mode, spec.abx_cells, spec.abx_tokens, spec.seed) for mode in MODES}
        self.triplets: dict[Mode, Triplets] = {
            mode: found for mode, found in drawn.items() if found.num_cells >= FEWEST_CELLS
        }
        self.notes = tuple(
            f"no ABX {mode} speakers: {found.num_cells} cells in {len(utterances)} utterances, expected {FEWEST_CELLS} "
            "or more"
            for mode, found in drawn.items()
            if mode not in self.triplets and spec.abx_cells
        )
        used = {number for found in self.triplets.values() for of in (found.a, found.b, found.x) for number in of}
        self._of_utterance: list[list[int]] = [[] for _ in utterances]
        for number in sorted(int(number) for number in used):
            self._of_utterance[self._tokens[number].utterance].append(number)

    def keep(self, utterance: int, layers: Sequence[Floats], kept: list[dict[int, Floats]]) -> None:
        """Add to `kept` what is needed of the frames (F, D) of each layer of an utterance, given its number."""
        kept += [{} for _ in layers] if not kept else []
        for number in self._of_utterance[utterance]:
            token = self._tokens[number]
            for place, frames in enumerate(layers):
                kept[place][number] = frames[token.start : token.stop].copy()

    def judge(self, kept: Sequence[dict[int, Floats]], mode: Mode) -> Doubles:
        """Which triplets are wrong in each layer: (N, T)."""
        return np.stack([judge_triplets(frames, self.triplets[mode]) for frames in kept])

    def draw(self, wrong: Doubles, mode: Mode) -> Doubles:
        """The errors of layers (N, T) in many draws of what the triplets are made of: (R, N)."""
        blocks = self.find_blocks(mode)
        seed = seed_for(self._seed, "abx", mode)
        return draw_errors(wrong, self.triplets[mode], blocks.of_token, blocks.unit, seed)

    def score(self, kept: Sequence[dict[int, Floats]]) -> list[tuple[AbxScore, ...]]:
        """The ABX errors of each layer."""
        by_mode = [self._score(self.judge(kept, mode), mode) for mode in self.triplets]
        return list(zip(*by_mode, strict=True)) or [() for _ in kept]

    def find_blocks(self, mode: Mode) -> TokenBlocks:
        """What is drawn for intervals: speakers where there are enough of them, else utterances."""
        found = self.triplets[mode]
        used = np.unique(np.concatenate([found.a, found.b, found.x])).tolist()
        speakers = {self._tokens[number].speaker for number in used if self._tokens[number].is_known}
        unit: Unit = "speakers" if len(speakers) >= FEWEST_SPEAKERS else "utterances"
        names = [
            self._tokens[number].speaker if unit == "speakers" else str(self._tokens[number].utterance)
            for number in used
        ]
        of_token = np.zeros(len(self._tokens), np.int64)
        known, of_token[used] = np.unique(names, return_inverse=True)
        return TokenBlocks(unit, len(known), of_token)

    def _score(self, wrong: Doubles, mode: Mode) -> list[AbxScore]:
        triplets, blocks = self.triplets[mode], self.find_blocks(mode)
        errors = average_errors(wrong, triplets).tolist()
        ends: list[tuple[float, float] | None] = [None] * len(errors)
        if blocks.num >= FEWEST_BLOCKS:
            draws = self.draw(wrong, mode)
            ends = [find_interval(error, draws[:, place], CONFIDENCE) for place, error in enumerate(errors)]
        return [
            AbxScore(
                mode=mode,
                error=error,
                low=end and max(0.0, end[0]),
                high=end and min(1.0, end[1]),
                confidence=CONFIDENCE,
                num_triplets=len(triplets.a),
                num_cells=triplets.num_cells,
                num_pairs=len(np.unique(triplets.pairs)),
                num_speakers=len(np.unique(triplets.speakers)),
                num_blocks=blocks.num,
                unit=blocks.unit,
            )
            for error, end in zip(errors, ends, strict=True)
        ]
