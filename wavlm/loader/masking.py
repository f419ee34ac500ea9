"""Span masks over frames, drawn per utterance (docs/algorithm.md section 6).

The loader says where the random numbers of an utterance begin, 8 bytes; the device that computes
hashes them and makes the mask. All of it is whole numbers, so every device makes the same one.

Shapes: B utterances, F frames, S starts of spans: all possible ones, and more for short crops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from wavlm.rng import GAMMA, LAST_SHIFT, MIX_ROUNDS, UNUSED_BITS, StreamSeeds
from wavlm.specs import MaskSpec

ONE = 1 << 53  # numbers in [0, 1) are multiples of 2**-53


@dataclass(frozen=True)
class Spans:
    """What masks of B utterances are made of."""

    num_frames: int  # F
    spec: MaskSpec
    seeds: StreamSeeds  # (B,) of whose numbers they are made

    def masks(self, device: torch.device) -> Tensor:
        """Which frames are masked, (B, F) bool, made on this device.

        n = max(min_spans, floor(p F / length + u)) distinct starts are drawn from 0..F-length-1, so
        the last frame is never masked in an utterance of usual length. As in fairseq's
        `compute_mask_indices`, of which this keeps the statistics.

        An utterance's first number is u. Then come lots, one a start: the n smallest are drawn.
        """
        spec, num_frames = self.spec, self.num_frames
        wanted = spec.probability * num_frames / spec.length
        whole, share = int(wanted), int(wanted % 1 * ONE)
        most = max(spec.min_spans, whole + 1)
        num_starts = max(num_frames - spec.length, most + 1)
        numbers = _hash_numbers(self.seeds, 1 + num_starts + (num_frames if spec.equalise else 0), device)
        num_spans = (((numbers[:, :1] + share) >> 53) + whole).clamp(min=spec.min_spans)
        priorities, frame_priorities = numbers[:, 1 : 1 + num_starts], numbers[:, 1 + num_starts :]
        if num_frames - spec.length <= most:  # too short for so many: one start more than spans
            allowed = (num_spans + 1).clamp(min=num_frames - spec.length)
            priorities = torch.where(torch.arange(num_starts, device=device) < allowed, priorities, ONE)
        masks = _cover_spans(_select_smallest(priorities, num_spans), spec.length)[:, :num_frames].contiguous()
        return _equalise(masks, frame_priorities) if spec.equalise else masks


def _hash_numbers(seeds: StreamSeeds, count: int, device: torch.device) -> Tensor:
    """`rng.uniforms` times 2**53, (B, count) int64: SplitMix64 in signed whole numbers.

    Products wrap to the same bits; a shift to the right has to forget the copies of the sign.
    """
    gamma, last_shift = _to_signed(GAMMA), int(LAST_SHIFT)
    begin = torch.from_numpy(seeds.view(np.int64)).to(device).unsqueeze(1)
    bits = begin + gamma * torch.arange(1, count + 1, device=device)
    for shift, factor in MIX_ROUNDS:
        bits = (bits ^ _shift_right(bits, int(shift))) * _to_signed(factor)
    return _shift_right(bits ^ _shift_right(bits, last_shift), int(UNUSED_BITS))


def _shift_right(bits: Tensor, shift: int) -> Tensor:
    return (bits >> shift) & ((1 << (64 - shift)) - 1)


def _to_signed(constant: np.uint64) -> int:
    return int(constant.astype(np.int64))


def _select_smallest(priorities: Tensor, counts: Tensor) -> Tensor:
    """Where the `counts` (B, 1) smallest lots of each row (B, S) are: below the one after them."""
    return priorities < priorities.sort(dim=1).values.gather(1, counts)


def _cover_spans(starts: Tensor, length: int) -> Tensor:
    """Frames of the spans that begin where (B, S) says, (B, S + length)."""
    begun = nnf.pad(starts.int(), (length, length)).cumsum(1)  # spans begun before a frame
    return begun[:, length:] > begun[:, :-length]


def _equalise(masks: Tensor, priorities: Tensor) -> Tensor:
    """Masks (B, F) with as many masked frames each as the smallest has: those of smallest lots.

    This is the reference's per-batch equalisation. It opens single frames inside spans and lowers
    the masked share from 0.57 to 0.53 at 15 s and 0.47 at 2 s, so it is off by default.
    """
    fewest = masks.sum(1).min().expand(len(masks), 1)
    of_masked = nnf.pad(torch.where(masks, priorities, ONE), (0, 1), value=ONE)
    return masks & _select_smallest(of_masked, fewest)[:, :-1]
