"""Log mel energies at the network's frames: some frames of 10 ms beside each other, 50 times per second.

At another frame rate the short frames are those of `wavlm.features.mfcc`, mostly two per frame of the network.
Frame t of the network has the middle of frame 2t of 10 ms (of frame t if there is one per frame). Of S stacked frames
it gets those from 2t - (S - 1) // 2 on. Where an utterance has none, its first or last frame is repeated.

Legend: B utterances, N samples, F frames of the network, M frames of 10 ms, S stacked frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wavlm.features.fbank import NUM_MELS
from wavlm.features.mfcc import log_mel_energies, mfcc_hop
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, mfcc_per_frame


def stacked_log_mel(
    waveforms: Tensor, num_samples: Tensor | None, stack_frames: int, grid: FrameGrid = PAPER_FRAMES
) -> Tensor:
    """80 log mel energies of S frames of 10 ms: (B, N) -> (B, F, 80 S).

    num_samples (B,): the length of each utterance; None if none is padded.
    """
    energies = log_mel_energies(waveforms, NUM_MELS, grid=grid)  # (B, M, 80)
    batch, most = energies.shape[:2]
    numbers = torch.arange(0, most, mfcc_per_frame(grid), device=energies.device)[:, None]  # (F, 1)
    offsets = torch.arange(stack_frames, device=energies.device) - (stack_frames - 1) // 2
    wanted = (numbers + offsets).flatten().clamp(min=0).expand(batch, -1)  # (B, F S)
    if num_samples is None:
        last = torch.full((batch, 1), max(most - 1, 0), device=energies.device)
    else:
        lengths = num_samples.to(energies.device, non_blocking=True)[:, None]
        last = ((lengths - grid.window_samples) // mfcc_hop(grid)).clamp(min=0)
    rows = energies.take_along_dim(torch.minimum(wanted, last)[:, :, None], dim=1)
    return rows.reshape(batch, len(numbers), stack_frames * NUM_MELS)
