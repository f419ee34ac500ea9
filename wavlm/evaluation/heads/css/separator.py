"""Masks of the spectrum of a mixture: one per voice, and one for what else is heard.

Windows of 32 ms, the root of a Hann window, every 16 ms: applied twice they add up to 1, so masks of 1 give the mixture
back. The network sees the logarithm of magnitudes, each frequency with mean 0 and variance 1 over the utterance
(CSS_with_Conformer, executor/feature.py), and the weighted sum of states, interpolated to the same frames.

Legend: B utterances, N samples, S states, F frames of the model, D channels, A frames of the spectrum, K frequencies,
V voices.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.css.conformer import Conformer
from wavlm.evaluation.heads.embedding import FeatureSize
from wavlm.evaluation.heads.mask import phase_sensitive_targets
from wavlm.evaluation.heads.padding import valid_frames, without_padding
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.specs.separation import SeparatorHead

WINDOW_SAMPLES = 512
HOP_SAMPLES = 256
NUM_FREQUENCIES = WINDOW_SAMPLES // 2 + 1
NUM_VOICES = 2
HALF_FRAME_SAMPLES = 200  # a frame of a model, or of a baseline, has 400 samples
EPSILON = torch.finfo(torch.float32).eps


class Separator(nn.Module):
    """Masks from 0 to 1 of two voices and of noise."""

    def __init__(self, size: FeatureSize, spec: SeparatorHead) -> None:
        super().__init__()
        self.takes = spec.takes
        self.hop_samples = size.hop_samples
        self.sum = WeightedSum(size.num_states)
        channels = NUM_FREQUENCIES * (spec.takes != "states") + size.num_channels * (spec.takes != "spectrum")
        self.conformer = Conformer(channels, spec)
        self.output = nn.Linear(spec.width, NUM_FREQUENCIES * (NUM_VOICES + 1))

    def forward(self, mixture: Tensor, states: Tensor, num_frames: Tensor, wanted: Tensor) -> Tensor:
        """Spectra (B, A, K), of which wanted (B,) frames are real, and states (B, S, F, D) to (B, V + 1, A, K)."""
        valid = valid_frames(wanted, mixture.shape[1])
        seen = []
        if self.takes != "states":
            seen.append(log_spectrum(mixture, wanted))
        if self.takes != "spectrum":
            seen.append(align(self.sum(states), num_frames, self.hop_samples, mixture.shape[1]))
        x = self.conformer(torch.cat(seen, dim=2), valid)
        masks = torch.sigmoid(self.output(x)).view(*x.shape[:2], NUM_VOICES + 1, NUM_FREQUENCIES)
        return masks.transpose(1, 2)


def spectrum(waveforms: Tensor) -> Tensor:
    """The complex spectrum, with zeros around: each sample is in two windows. (B, N) to (B, A, K)."""
    window = _window(waveforms)
    padded = nn.functional.pad(waveforms, (0, HOP_SAMPLES))
    found = torch.stft(
        padded, WINDOW_SAMPLES, HOP_SAMPLES, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return found.transpose(1, 2)


def count_frames(num_samples: Tensor) -> Tensor:
    """Frames of the spectrum of so many samples: (B,) to (B,)."""
    return num_samples // HOP_SAMPLES + 2


def waveform(spectra: Tensor, num_samples: int) -> Tensor:
    """The waveforms of spectra: (B, A, K) to (B, N)."""
    window = _window(spectra.real)
    return torch.istft(spectra.transpose(1, 2), WINDOW_SAMPLES, HOP_SAMPLES, window=window, length=num_samples)


def log_spectrum(mixture: Tensor, lengths: Tensor) -> Tensor:
    """Logarithms of magnitudes (B, A, K), each frequency normalised over the real frames of an utterance."""
    logs = mixture.abs().clamp(min=EPSILON).log()
    valid = valid_frames(lengths, logs.shape[1])[..., None]
    count = lengths.view(-1, 1, 1)
    mean = torch.where(valid, logs, 0).sum(1, keepdim=True) / count
    centred = torch.where(valid, logs - mean, 0)
    spread = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return centred / (spread + EPSILON)


def align(frames: Tensor, lengths: Tensor, hop: int, count: int) -> Tensor:
    """Frames of the model, interpolated to the middles of `count` frames of the spectrum: (B, F, D) to (B, A, D)."""
    middles = torch.arange(count, device=frames.device) * HOP_SAMPLES
    last = (lengths - 1)[:, None]
    places = torch.minimum(((middles - HALF_FRAME_SAMPLES) / hop).clamp(min=0)[None], last)
    lower = places.floor().long()
    share = (places - lower).to(frames)[..., None]
    rows = torch.arange(len(frames), device=frames.device)[:, None]
    return frames[rows, lower] * (1 - share) + frames[rows, torch.minimum(lower + 1, last)] * share


def separation_loss(masks: Tensor, mixture: Tensor, voices: Tensor, noise: Tensor, lengths: Tensor) -> Tensor:
    """Squared error of masked magnitudes to phase-sensitive targets, each utterance in its best order of voices: ().

    masks (B, V + 1, A, K), mixture and noise (B, A, K), voices (B, V, A, K), lengths (B,). Errors are means over real
    frames, frequencies and masks.
    """
    found = masks * mixture.abs()[:, None]
    targets = phase_sensitive_targets(mixture, torch.cat([voices, noise[:, None]], dim=1))
    of_noise = _errors(found[:, -1:], targets[:, -1:], lengths)
    of_orders = [
        _errors(found[:, :NUM_VOICES], targets[:, list(order)], lengths) for order in permutations(range(NUM_VOICES))
    ]
    return (torch.stack(of_orders).amin(0) + of_noise).mean() / (NUM_VOICES + 1)


def _errors(found: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    squared = (found - targets).square().mean(3).sum(1)[..., None]  # (B, A, 1)
    return without_padding(squared, lengths).sum((1, 2)) / lengths


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(WINDOW_SAMPLES, device=like.device, dtype=like.dtype).sqrt()
