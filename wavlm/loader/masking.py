"""Span masks over frames, drawn per utterance, as in section 6 of docs/algorithm.md.

The loader sends one seed of 8 bytes per utterance. The device that computes the loss makes the masks from the seeds.
All of it is integer arithmetic, so every device makes the same masks.

How the mask of an utterance with F frames is drawn:

1. Number of spans: n = max(min_spans, floor(p F / length + u)), with u uniform in [0, 1). So the mean is p F / length.
2. Starts: a span may start at each of the frames 0 .. F - length - 1. Each gets a random priority. The spans start at
   the n frames with the smallest priorities, so all sets of n starts are equally likely.
3. Mask: the `length` frames from each start on. Spans may overlap. The last frame is never masked.
4. Short crops: if there are fewer than n + 1 possible starts, spans may start at the frames 0 .. n. What lies beyond
   the last frame is cut off. (These are the only masks that can contain the last frame.)
5. Equalisation, off by default: all masks of a micro-batch are reduced to the size of the smallest.

Steps 1 to 3 have the statistics of fairseq's `compute_mask_indices`.

The random numbers of an utterance are, in this order: u, one priority per start, and for the equalisation one
priority per frame.

Legend: B utterances, F frames, S starts (all possible ones, or one more than spans in short crops).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from wavlm.rng import GAMMA, LAST_SHIFT, MIX_ROUNDS, UNUSED_BITS, StreamSeeds
from wavlm.specs import MaskSpec

ONE = 1 << 53  # random numbers in [0, 1) are whole multiples of 2**-53; here they are stored as these multiples


@dataclass(frozen=True)
class Spans:
    """What the masks of B utterances are made of. Their crops have the same number of frames."""

    num_frames: int  # F
    spec: MaskSpec
    seeds: StreamSeeds  # (B,) of the random numbers of each utterance

    def masks(self, device: torch.device) -> Tensor:
        """The masks, (B, F) bool on this device, True where a frame is masked."""
        spec, num_frames = self.spec, self.num_frames
        possible_starts = num_frames - spec.length
        max_spans = max(spec.min_spans, int(_mean_spans(spec, num_frames)) + 1)
        num_starts = max(possible_starts, max_spans + 1)
        numbers = draw_numbers(self.seeds, 1 + num_starts + (num_frames if spec.equalise else 0), device)
        first, priorities, frame_priorities = numbers.tensor_split((1, 1 + num_starts), dim=1)
        num_spans = _draw_num_spans(first, spec, num_frames)
        if possible_starts <= max_spans:
            priorities = _limit_starts(priorities, num_spans, possible_starts)
        starts = _select_smallest(priorities, num_spans)
        masks = _cover_spans(starts, spec.length)[:, :num_frames].contiguous()
        return _equalise(masks, frame_priorities) if spec.equalise else masks


def _mean_spans(spec: MaskSpec, num_frames: int) -> float:
    """The mean number of spans per utterance, before `min_spans`."""
    return spec.probability * num_frames / spec.length


def _draw_num_spans(u: Tensor, spec: MaskSpec, num_frames: int) -> Tensor:
    """Number of spans of each utterance, (B, 1), from one random number each (B, 1)."""
    mean = _mean_spans(spec, num_frames)
    carry = (u + int(mean % 1 * ONE)) >> 53  # 1 with the probability of the mean's fractional part, else 0
    return (carry + int(mean)).clamp(min=spec.min_spans)


def _limit_starts(priorities: Tensor, num_spans: Tensor, possible_starts: int) -> Tensor:
    """Priorities (B, S) of short crops: n + 1 starts are allowed, or all possible ones if these are more.

    The other starts get a priority above all random ones, so that they are not among the n smallest.
    """
    allowed = (num_spans + 1).clamp(min=possible_starts)  # (B, 1)
    return torch.where(torch.arange(priorities.shape[1], device=priorities.device) < allowed, priorities, ONE)


def _select_smallest(priorities: Tensor, counts: Tensor) -> Tensor:
    """Where the `counts` (B, 1) smallest priorities of each row (B, S) are, (B, S) bool.

    These are the ones below the next smallest. So S must be larger than each count.
    """
    return priorities < priorities.sort(dim=1).values.gather(1, counts)


def _cover_spans(starts: Tensor, length: int) -> Tensor:
    """Frames that lie in a span, (B, S + length) bool, for spans that begin where `starts` (B, S) is True.

    A frame lies in a span if a span began among this frame and the `length - 1` frames before it.
    """
    begun = nnf.pad(starts.int(), (length, length)).cumsum(1)  # number of spans that began up to each frame
    return begun[:, length:] > begun[:, :-length]


def _equalise(masks: Tensor, priorities: Tensor) -> Tensor:
    """Masks (B, F) that keep as many masked frames as the smallest mask has: those with the smallest priorities (B, F).

    This is the reference's equalisation per batch. It removes single frames inside spans and lowers the masked
    fraction from 0.57 to 0.53 at 15 s and to 0.47 at 2 s. So it is off by default.
    """
    fewest = masks.sum(1).min().expand(len(masks), 1)
    of_masked = nnf.pad(torch.where(masks, priorities, ONE), (0, 1), value=ONE)
    return masks & _select_smallest(of_masked, fewest)[:, :-1]


def draw_numbers(seeds: StreamSeeds, count: int, device: torch.device) -> Tensor:
    """The first `count` random numbers of each seed (B,), times 2**53: (B, count) int64.

    These are the numbers of `rng.uniforms`, computed with SplitMix64 in signed integers, because torch has no
    arithmetic for unsigned ones. Products and sums wrap to the same bits.
    """
    gamma, last_shift = _to_signed(GAMMA), int(LAST_SHIFT)
    begin = torch.from_numpy(seeds.view(np.int64)).to(device).unsqueeze(1)
    bits = begin + gamma * torch.arange(1, count + 1, device=device)
    for shift, factor in MIX_ROUNDS:
        bits = (bits ^ _shift_right(bits, int(shift))) * _to_signed(factor)
    return _shift_right(bits ^ _shift_right(bits, last_shift), int(UNUSED_BITS))


def _shift_right(bits: Tensor, shift: int) -> Tensor:
    """An unsigned shift of signed integers: the copies of the sign bit are cleared."""
    return (bits >> shift) & ((1 << (64 - shift)) - 1)


def _to_signed(constant: np.uint64) -> int:
    return int(constant.astype(np.int64))
