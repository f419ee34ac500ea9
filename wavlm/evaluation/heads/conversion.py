"""Mel spectra of one target speaker from frames of any speaker, one after another: SUPERB's head for voice conversion.

B utterances, F frames at 50 Hz, T frames of mel spectra, D channels, H hidden channels, M mel bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.padding import run_recurrent, valid_frames, without_padding

HIDDEN = 1024  # s3prl, downstream/a2o-vc-vcc2020/config_taco2_ar.yaml: hidden_dim, lstmp_layers, lstmp_dropout_rate
NUM_LAYERS = 2
DROPOUT = 0.2
NUM_CONVS = 3  # model.py there: Taco2Encoder
KERNEL = 5
CONV_DROPOUT = 0.5
NUM_PRENET_LAYERS = 2
PRENET_DROPOUT = 0.5
MEL_FRAMES_PER_FRAME = 24_000 / 256 / 50  # 1.875: mel spectra of 24 kHz speech with a hop of 256


@dataclass(frozen=True)
class MelStatistics:
    """Mean and standard deviation of each mel band of the target speaker's training set."""

    mean: Tensor  # (M,)
    deviation: Tensor  # (M,)


class Converter(nn.Module):
    """Taco2-AR: convolutions and a BLSTM at the rate of the mel spectra, then LSTMs from spectrum to spectrum.

    H is the width of the decoder. The encoder's convolutions have H / 2 channels, the layers before the decoder H / 4.
    As in the reference, the state that an LSTM passes to the next frame is its output after dropout, Linear and tanh.
    """

    def __init__(
        self,
        width: int,
        statistics: MelStatistics,
        *,
        hidden: int = HIDDEN,
        num_layers: int = NUM_LAYERS,
        prenet_dropout: float = PRENET_DROPOUT,
    ) -> None:
        super().__init__()
        self.hidden, self.num_bands, self.prenet_dropout = hidden, len(statistics.mean), prenet_dropout
        self.register_buffer("mean", statistics.mean.clone())
        self.register_buffer("deviation", statistics.deviation.clone())
        self.input = nn.Linear(width, hidden // 2)
        self.convs = nn.ModuleList(_ConvBlock(hidden // 2) for _ in range(NUM_CONVS))
        self.recurrent = nn.LSTM(hidden // 2, hidden // 2, batch_first=True, bidirectional=True)
        prenet = [self.num_bands] + [hidden // 4] * NUM_PRENET_LAYERS
        self.prenet = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(prenet))
        inputs = [hidden + hidden // 4] + [hidden] * (num_layers - 1)
        self.cells = nn.ModuleList(nn.LSTMCell(size, hidden) for size in inputs)
        self.projections = nn.ModuleList(nn.Linear(hidden, hidden) for _ in inputs)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(hidden, self.num_bands)

    def forward(
        self, frames: Tensor, lengths: Tensor, generators: Sequence[torch.Generator], targets: Tensor | None = None
    ) -> Tensor:
        """Log mel spectra (B, T, M), of which the first `mel_lengths(lengths)` are real, from frames (B, F, D).

        generators: one per utterance, on the CPU. They draw the dropout before the decoder, which is always on (Shen et
        al. 2018, section 2.2), so an utterance converts alike in every batch.
        targets (B, T', M), T' >= T: each spectrum follows the true one before it; None: the one that was made.
        """
        encoded = self.encode(frames, lengths)  # (B, T, H)
        if targets is not None and targets.shape[1] < encoded.shape[1]:
            raise ValueError(f"targets of {targets.shape[1]} frames; expected at least {encoded.shape[1]}")
        kept = self._draw_kept(mel_lengths(lengths).tolist(), generators).to(encoded.device)  # (B, T, layers, H / 4)
        states = [(encoded.new_zeros(len(encoded), self.hidden),) * 2 for _ in self.cells]
        before, made = encoded.new_zeros(len(encoded), self.num_bands), []
        for number in range(encoded.shape[1]):
            x = torch.cat([encoded[:, number], self._before_decoder(before, kept[:, number])], dim=1)
            for layer, state in enumerate(states):
                states[layer] = self._step(layer, x, state)
                x = states[layer][0]
            made.append(self.output(x))
            before = self.normalize(made[-1] if targets is None else targets[:, number])
        return torch.stack(made, dim=1)

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, F, D) to (B, T, H)"""
        repeated = functional.interpolate(frames.transpose(1, 2), scale_factor=MEL_FRAMES_PER_FRAME).transpose(1, 2)
        lengths = mel_lengths(lengths)
        x = without_padding(self.input(repeated), lengths)
        valid = valid_frames(lengths, x.shape[1]).to(x.device)
        for conv in cast("Iterable[_ConvBlock]", self.convs):
            x = conv(x, valid)
        return run_recurrent(self.recurrent, x, lengths)

    def normalize(self, spectra: Tensor) -> Tensor:
        """Spectra (..., M) as the target speaker's have mean 0 and deviation 1."""
        return (spectra - cast("Tensor", self.mean)) / cast("Tensor", self.deviation)

    def loss(self, spectra: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Mean distance of normalised spectra (B, T, M) and targets (B, T', M), over frames that both have: ()."""
        num_frames = min(spectra.shape[1], targets.shape[1])
        both = torch.minimum(mel_lengths(lengths), target_lengths)
        valid = valid_frames(both, num_frames).to(spectra.device)
        found, expected = (self.normalize(x[:, :num_frames])[valid] for x in (spectra, targets))
        return functional.l1_loss(found, expected)

    def _draw_kept(self, lengths: list[int], generators: Sequence[torch.Generator]) -> Tensor:
        """1 / (1 - p) where a value before the decoder is kept, else 0: (B, T, layers, H / 4)."""
        kept = torch.zeros(len(lengths), max(lengths), NUM_PRENET_LAYERS, self.hidden // 4)
        for row, length, generator in zip(kept, lengths, generators, strict=True):
            row[:length] = torch.rand(length, *row.shape[1:], generator=generator) >= self.prenet_dropout
        return kept / (1 - self.prenet_dropout)

    def _before_decoder(self, spectrum: Tensor, kept: Tensor) -> Tensor:
        """(B, M), (B, layers, H / 4) to (B, H / 4)"""
        for number, layer in enumerate(self.prenet):
            spectrum = functional.relu(layer(spectrum)) * kept[:, number]
        return spectrum

    def _step(self, layer: int, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        output, memory = self.cells[layer](x, state)
        return torch.tanh(self.projections[layer](self.dropout(output))), memory


def mel_lengths(lengths: Tensor) -> Tensor:
    """How many mel spectra so many frames become: (B,) to (B,)."""
    return (lengths * MEL_FRAMES_PER_FRAME).long()


class _ConvBlock(nn.Module):
    """Convolution over time, batch norm over the real frames, ReLU, dropout: (B, T, C) to (B, T, C), 0 in padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(CONV_DROPOUT)
        nn.init.xavier_uniform_(self.conv.weight, nn.init.calculate_gain("relu"))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """valid (B, T)"""
        y = self.conv(x.transpose(1, 2)).transpose(1, 2)
        real = self.dropout(functional.relu(self.norm(y[valid])))  # (real frames, C)
        return torch.zeros_like(y).masked_scatter(valid[..., None], real)
