"""Random stretches of frames to train on, where whole utterances are long.

Legend: B utterances, S states, F frames, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cut_stretches(states: Tensor, num_frames: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """At most so many frames of each utterance, from a random one on: (B, S, F, D) to (B, S, `longest`, D).

    Returns the states with zeros in the padding, the number of frames of each (B,), and at which they begin (B,). The
    draw is from torch's default generator on the CPU.
    """
    drawn = torch.rand(len(states))
    kept = torch.clamp(num_frames, max=longest)
    starts = (drawn.to(num_frames.device) * (num_frames - kept + 1)).long()
    rows = torch.zeros(*states.shape[:2], int(kept.max()), states.shape[3], dtype=states.dtype, device=states.device)
    for row, whole, start, count in zip(rows, states, starts.tolist(), kept.tolist(), strict=True):
        row[:, :count] = whole[:, start : start + count]
    return rows, kept, starts
