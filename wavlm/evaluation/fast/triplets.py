"""Triplets of ABX: tokens A and X of one phone, B of another one, all three between the same two phones.

Within speakers the three are of one speaker. Across speakers A and B are of one, and X is of another one. A cell is an
ordered pair of phones in one context of one speaker (across: and of one speaker of X). The numbers of cells, and of
tokens of a phone in a cell, are bounded. Definition: Schatz 2016, ABX-Discriminability Measures and Applications;
Nguyen et al. 2020, arXiv 2011.11588 (ZeroSpeech 2021). As there, X is taken from at most five other speakers.

Legend: T triplets, C cells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.facts import Mode
from wavlm.evaluation.fast.tokens import Token
from wavlm.rng import rng_for

Integers = npt.NDArray[np.int64]

MAX_SPEAKERS_OF_X = 5  # libri-light's eval_ABX.py: max_x_across


@dataclass(frozen=True)
class Triplets:
    """Numbers of tokens, and for each cell the numbers of its speaker and of its ordered pair of phones."""

    a: Integers  # (T,)
    b: Integers
    x: Integers
    cells: Integers  # (T,) the cell of each triplet
    speakers: Integers  # (C,)
    pairs: Integers  # (C,)

    @property
    def num_cells(self) -> int:
        return len(self.pairs)


class _Cell(NamedTuple):
    speaker: str
    pair: tuple[int, str, str]  # corpus and phones: the phones of two corpora are not the same ones
    of_a: list[int]
    of_b: list[int]
    of_x: list[int]


def draw_triplets(tokens: Sequence[Token], mode: Mode, max_cells: int, max_tokens: int, seed: int) -> Triplets:
    """All triplets of at most `max_cells` cells, of at most `max_tokens` tokens of a phone. The seed decides which."""
    order = rng_for(seed, "abx", "tokens").permutation(len(tokens))
    found = list(
        _find_within(tokens, order, max_tokens) if mode == "within" else _find_across(tokens, order, max_tokens)
    )
    chosen = np.sort(rng_for(seed, "abx", mode).permutation(len(found))[:max_cells])
    cells = [found[number] for number in chosen]
    rows = [np.array(list(_combine(cell)), np.int64).reshape(-1, 3) for cell in cells]
    table = np.concatenate([np.zeros((0, 3), np.int64), *rows])
    return Triplets(
        a=table[:, 0],
        b=table[:, 1],
        x=table[:, 2],
        cells=np.repeat(np.arange(len(cells)), [len(part) for part in rows]).astype(np.int64),
        speakers=_number([cell.speaker for cell in cells]),
        pairs=_number([cell.pair for cell in cells]),
    )


def _find_within(tokens: Sequence[Token], order: Integers, most: int) -> Iterator[_Cell]:
    groups = _group(tokens, order, most)
    for (context, speaker), by_phone in groups.items():
        for one, other in permutations(by_phone, 2):
            if len(by_phone[one]) > 1:
                yield _Cell(speaker, (context[0], one, other), by_phone[one], by_phone[other], by_phone[one])


def _find_across(tokens: Sequence[Token], order: Integers, most: int) -> Iterator[_Cell]:
    known = np.array([number for number in order if tokens[number].is_known], np.int64)
    groups = _group(tokens, known, most)
    speakers: dict[tuple[object, str], list[str]] = defaultdict(list)
    for (context, speaker), by_phone in groups.items():
        for phone in by_phone:
            speakers[context, phone].append(speaker)
    for (context, speaker), by_phone in groups.items():
        for one, other in permutations(by_phone, 2):
            others = [name for name in speakers[context, one] if name != speaker][:MAX_SPEAKERS_OF_X]
            for name in others:
                pair = (context[0], one, other)
                yield _Cell(speaker, pair, by_phone[one], by_phone[other], groups[context, name][one])


def _group(
    tokens: Sequence[Token], order: Integers, most: int
) -> dict[tuple[tuple[int, str, str], str], dict[str, list[int]]]:
    """Numbers of tokens by context and speaker, then by phone: the first `most` of each phone in this order."""
    groups: dict[tuple[tuple[int, str, str], str], dict[str, list[int]]] = defaultdict(dict)
    for number in order.tolist():
        token = tokens[number]
        of_phone = groups[token.context, token.speaker].setdefault(token.phone, [])
        if len(of_phone) < most:
            of_phone.append(number)
    return groups


def _combine(cell: _Cell) -> Iterator[tuple[int, int, int]]:
    """Every A, B and X of a cell; a token is not compared with itself."""
    for x in cell.of_x:
        for a in cell.of_a:
            if a != x:
                for b in cell.of_b:
                    yield a, b, x


def _number(names: Sequence[object]) -> Integers:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
