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
    """The outputs (B, F, H) of an LSTM, 0 in the padding. A backward direction begins at the last frame of each.

    On a CPU each direction runs over padded frames, the backward one over utterances that are turned around: torch's
    gradient of packed utterances grows with the square of their length there.
    """
    valid = valid_frames(lengths, frames.shape[1])  # refuses what does not fit
    if frames.device.type != "cpu" or layers.proj_size or not layers.bias:
        packed = pack_padded_sequence(frames, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(layers(packed)[0], batch_first=True, total_length=frames.shape[1])
        return outputs
    places = torch.arange(frames.shape[1])
    turned = torch.where(valid, lengths[:, None] - 1 - places, places)[..., None]  # (B, F, 1), its own inverse
    for number in range(layers.num_layers):
        if number:
            frames = nn.functional.dropout(frames, layers.dropout, layers.training)
        directions = [_run_forward(layers, f"l{number}", frames)]
        if layers.bidirectional:
            backward = _run_forward(layers, f"l{number}_reverse", _take(frames, turned))
            directions.append(_take(backward, turned))
        frames = torch.cat(directions, dim=-1)
    return torch.where(valid[..., None], frames, 0)


def _run_forward(layers: nn.LSTM, name: str, frames: Tensor) -> Tensor:
    """One direction of one layer: (B, F, D) to (B, F, H)."""
    weights = [getattr(layers, f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    start = frames.new_zeros(1, len(frames), layers.hidden_size)
    outputs: Tensor = torch.lstm(frames, (start, start), weights, True, 1, 0.0, False, False, True)[0]  # noqa: FBT003
    return outputs


def _take(frames: Tensor, places: Tensor) -> Tensor:
    """Frames (B, F, D) at places (B, F, 1) of their utterance."""
    return frames.gather(1, places.expand(-1, -1, frames.shape[2]))


def match_lengths(frames: Tensor, lengths: Tensor, wanted: Tensor) -> Tensor:
    """Each utterance cut, or filled with zeros, to `wanted` (B,) frames: (B, F, D) to (B, wanted.max(), D)."""
    kept = torch.minimum(lengths, wanted)
    real = without_padding(frames, kept)[:, : int(wanted.max())]
    missing = int(wanted.max()) - real.shape[1]
    return nn.functional.pad(real, (0, 0, 0, missing))
