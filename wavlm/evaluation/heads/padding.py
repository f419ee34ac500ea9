"""Utterances of different lengths in one batch: which frames are real, and recurrent layers that see only those.

B utterances, F frames, D channels, H hidden channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def valid_frames(lengths: Tensor, num_frames: int) -> Tensor:
    """Which frames are not padding: lengths (B,) to (B, F) bool."""
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > num_frames:
        raise ValueError(
            f"lengths from {shortest} to {longest}; expected from 1 to {num_frames}, the frames of the batch"
        )
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def without_padding(frames: Tensor, lengths: Tensor) -> Tensor:
    """The frames (B, F, D), with zeros in the padding."""
    valid = valid_frames(lengths, frames.shape[1]).to(frames.device)
    return torch.where(valid[..., None], frames, 0)


def run_recurrent(layers: nn.LSTM, frames: Tensor, lengths: Tensor) -> Tensor:
    """The outputs (B, F, H) of an LSTM. A backward direction begins at the last frame of each utterance."""
    valid_frames(lengths, frames.shape[1])  # refuses what does not fit
    packed = pack_padded_sequence(frames, lengths.cpu(), batch_first=True, enforce_sorted=False)
    outputs, _ = pad_packed_sequence(layers(packed)[0], batch_first=True, total_length=frames.shape[1])
    return outputs


def match_lengths(frames: Tensor, lengths: Tensor, wanted: Tensor) -> Tensor:
    """Each utterance cut, or filled with zeros, to `wanted` (B,) frames: (B, F, D) to (B, wanted.max(), D)."""
    kept = torch.minimum(lengths, wanted)
    real = without_padding(frames, kept)[:, : int(wanted.max())]
    missing = int(wanted.max()) - real.shape[1]
    return nn.functional.pad(real, (0, 0, 0, missing))
