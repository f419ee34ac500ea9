"""SpecAugment on hidden states (Park et al. 2019, arXiv 1904.08779): warps in time, masks in time and in channels.

Random numbers come from torch's default generator, as those of dropout.

Legend: B utterances, F frames, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from wavlm.specs.tasks import SpecAugmentSpec


def augment(frames: Tensor, num_frames: Tensor, spec: SpecAugmentSpec) -> Tensor:
    """Warp and mask frames (B, F, D) of which the first `num_frames` (B,) of each row are valid."""
    warped = _warp(frames, num_frames, spec.warp_frames) if spec.warp_frames else frames
    masked = _mask(warped, dim=2, count=spec.channel_masks, widest=spec.channel_mask_channels)
    return _mask(masked, dim=1, count=spec.time_masks, widest=spec.time_mask_frames)


def _warp(frames: Tensor, num_frames: Tensor, window: int) -> Tensor:
    """Move a point of each row by at most `window` frames; what is left and right of it is stretched."""
    rows = []
    for row, length in zip(frames, num_frames.tolist(), strict=True):
        if length <= 2 * window:
            rows.append(row)
            continue
        centre = int(torch.randint(window, length - window, ()))
        moved = int(torch.randint(centre - window, centre + window, ())) + 1
        left, right = _stretch(row[:centre], moved), _stretch(row[centre:length], length - moved)
        rows.append(torch.cat([left, right, row[length:]]))
    return torch.stack(rows)


def _stretch(part: Tensor, length: int) -> Tensor:
    """Frames (F, D) as another number of frames, by linear interpolation."""
    return functional.interpolate(part.T[None], size=length, mode="linear", align_corners=False)[0].T


def _mask(frames: Tensor, *, dim: int, count: int, widest: int) -> Tensor:
    """Set `count` stretches of each row to 0 along a dimension, each shorter than `widest`."""
    if not count or not widest:
        return frames
    size = frames.shape[dim]
    lengths = torch.randint(0, widest, (len(frames), count))
    starts = (torch.rand(len(frames), count) * (size - lengths).clamp(min=1)).long()
    places = torch.arange(size)
    is_masked = ((places >= starts[..., None]) & (places < (starts + lengths)[..., None])).any(dim=1)  # (B, size)
    shape = (len(frames), size, 1) if dim == 1 else (len(frames), 1, size)
    return frames.masked_fill(is_masked.view(shape).to(frames.device), 0.0)
