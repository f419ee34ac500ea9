"""Beam search: the likeliest sequence of symbols that a Translator writes.

As in fairseq: hypotheses are compared by their log probability divided by their length with the end symbol, and an
utterance is finished when as many hypotheses have ended as are kept.

Legend: B utterances, K hypotheses of each, T frames after subsampling, H hidden channels, C symbols.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from wavlm.evaluation.heads.translation import END_SYMBOL, NUM_SPECIAL, Translator, encoded_lengths


class Written(NamedTuple):
    """A sequence of symbols, without the end symbol."""

    symbols: list[int]
    is_cut: bool  # no end symbol was written


@dataclass
class _Ended:
    """The hypotheses of an utterance that have ended, with their scores."""

    found: list[tuple[float, list[int]]] = field(default_factory=list)


def write_sequences(translator: Translator, frames: Tensor, lengths: Tensor, beam: int, most: int) -> list[Written]:
    """The best sequence of each utterance, of `most` symbols at most: frames (B, F, D), lengths (B,).

    A sequence of fewer hypotheses than symbols keeps as many as there are.
    """
    encoded, num_encoded = translator.encode(frames, lengths), encoded_lengths(lengths)
    count, device = len(frames), frames.device
    of_rows = encoded.repeat_interleave(beam, 0), num_encoded.repeat_interleave(beam, 0)  # (B K, T, H)
    symbols = torch.full((count * beam, 1), END_SYMBOL, device=device)
    scores = torch.full((count, beam), -torch.inf, device=device)
    scores[:, 0] = 0.0  # all hypotheses are the same at first
    ended = [_Ended() for _ in range(count)]
    for step in range(1, most + 1):
        logits = translator.decode(*of_rows, symbols)[:, -1]  # (B K, C)
        totals = scores[..., None] + _log_probabilities(logits).view(count, beam, -1)
        best = totals.flatten(1).topk(min(2 * beam, totals[0].numel()), dim=1)  # (B, 2 K)
        chosen, scores = _choose(best.values, best.indices, totals.shape[2], beam, (symbols, ended, step))
        rows, following = chosen
        symbols = torch.cat([symbols[rows.to(device)], following.to(device)[:, None]], dim=1)
        scores = scores.to(device)
        if all(len(item.found) >= beam for item in ended):
            break
    return [_best(item, symbols[number * beam]) for number, item in enumerate(ended)]


def _log_probabilities(logits: Tensor) -> Tensor:
    """Of the symbols that may be written: the end, and those of texts."""
    masked = logits.float().clone()
    masked[:, :END_SYMBOL] = -torch.inf
    masked[:, END_SYMBOL + 1 : NUM_SPECIAL] = -torch.inf
    return torch.log_softmax(masked, dim=-1)


def _choose(
    values: Tensor, indices: Tensor, num_symbols: int, beam: int, state: tuple[Tensor, list[_Ended], int]
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Rows (B K,) that go on, with their next symbols (B K,) and scores (B, K). What ends is added to `ended`."""
    symbols, ended, step = state
    rows = torch.zeros(len(values), beam, dtype=torch.long)
    following = torch.full((len(values), beam), END_SYMBOL)
    scores = torch.full((len(values), beam), -torch.inf)
    for number, (of_one, places) in enumerate(zip(values.tolist(), indices.tolist(), strict=True)):
        rows[number] = number * beam
        if len(ended[number].found) >= beam:
            continue
        kept = 0
        for rank, (score, place) in enumerate(zip(of_one, places, strict=True)):
            row, symbol = number * beam + place // num_symbols, place % num_symbols
            if symbol == END_SYMBOL:
                if rank < beam and score > -torch.inf:
                    ended[number].found.append((score / step, symbols[row, 1:].tolist()))
            elif kept < beam:
                rows[number, kept], following[number, kept], scores[number, kept] = row, symbol, score
                kept += 1
    return (rows.flatten(), following.flatten()), scores


def _best(ended: _Ended, first: Tensor) -> Written:
    """The best hypothesis that has ended; where none has, the likeliest so far."""
    if not ended.found:
        return Written(first[1:].tolist(), is_cut=True)
    return Written(max(ended.found, key=lambda item: item[0])[1], is_cut=False)
