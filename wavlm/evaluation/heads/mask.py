"""Masks on a spectrogram, one per source: SUPERB's head for enhancement (one source) and separation (two).

B utterances, N samples, F frames, D channels, H hidden channels, S sources, K frequencies.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.padding import run_recurrent, without_padding

WINDOW_SAMPLES = 512  # s3prl, downstream/separation_stft/configs/cfg.yaml: n_fft, win_length; the hop is WavLM's
HOP_SAMPLES = 320
NUM_FREQUENCIES = WINDOW_SAMPLES // 2 + 1
HIDDEN = 896
NUM_LAYERS = 3
DROPOUT = 0.5


class MaskNetwork(nn.Module):
    """BLSTMs of H units in each direction with dropout after each; per source a Linear 2H to K and ReLU.

    The frames must be as many as those of the spectrogram: `wavlm.evaluation.heads.padding.match_lengths`.
    """

    def __init__(
        self,
        width: int,
        num_sources: int,
        *,
        hidden: int = HIDDEN,
        num_layers: int = NUM_LAYERS,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.recurrent = nn.LSTM(width, hidden, num_layers, batch_first=True, dropout=between, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.outputs = nn.ModuleList(nn.Linear(2 * hidden, NUM_FREQUENCIES) for _ in range(num_sources))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Masks from 0 up: (B, F, D) to (B, S, F, K)."""
        x = self.dropout(run_recurrent(self.recurrent, frames, lengths))
        return torch.stack([functional.relu(output(x)) for output in self.outputs], dim=1)


def num_spectrum_frames(num_samples: Tensor) -> Tensor:
    """Frames of the spectrogram of utterances of so many samples: (B,) to (B,)."""
    return num_samples // HOP_SAMPLES + 1


def spectrum(waveforms: Tensor) -> Tensor:
    """The complex short-time spectrum: (B, N), zeros behind each utterance, to (B, F, K).

    Hann windows centred on multiples of the hop, with zeros around the waveform, as librosa computes it today. Before
    version 0.9 librosa mirrored the waveform there, so the first and the last frame of older results differ.
    """
    window = torch.hann_window(WINDOW_SAMPLES, device=waveforms.device, dtype=waveforms.dtype)
    found = torch.stft(
        waveforms, WINDOW_SAMPLES, HOP_SAMPLES, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return found.transpose(1, 2)


def masked_waveform(mixture: Tensor, mask: Tensor, num_samples: int) -> Tensor:
    """The waveform of one masked mixture: its spectrum (F, K), mask (F, K) to (N,).

    Up to 63 samples at the end may lie behind the last window; they are silent.
    """
    window = torch.hann_window(WINDOW_SAMPLES, device=mask.device, dtype=mask.dtype)
    masked = (mixture * mask).T
    covered = min(num_samples, (masked.shape[1] - 1) * HOP_SAMPLES + WINDOW_SAMPLES // 2)
    found = torch.istft(masked, WINDOW_SAMPLES, HOP_SAMPLES, window=window, center=True, length=covered)
    return nn.functional.pad(found, (0, num_samples - covered))


def without_end_impulse(waveform: Tensor) -> Tensor:
    """The waveform (N,), silent from the first sample of its last window that exceeds all samples before the window.

    Near the end one window alone covers a sample, and what it adds is divided by a weight near 0: an impulse. The
    reference removes it in the same way (s3prl, downstream/separation_stft/expert.py: postprocess).
    """
    end = int(waveform.nonzero().max()) + 1 if waveform.any() else 0
    start = end - WINDOW_SAMPLES
    if start <= 0 or end < len(waveform) - 4 * WINDOW_SAMPLES:
        return waveform
    above = (waveform[start:end].abs() > waveform[:start].abs().max()).nonzero()
    if not len(above):
        return waveform
    cut = start + int(above[0])
    return torch.cat([waveform[:cut], torch.zeros_like(waveform[cut:])])


def phase_sensitive_targets(mixture: Tensor, sources: Tensor) -> Tensor:
    """Magnitude of each source times the cosine of its phase to the mixture, at least 0: (B, F, K), (B, S, F, K).

    The nonnegative phase-sensitive mask times the mixture (Kolbaek et al. 2017, section II-B).
    """
    cosines = torch.cos(mixture.angle().unsqueeze(1) - sources.angle())
    return sources.abs() * functional.relu(cosines)  # (B, S, F, K)


def mask_loss(masks: Tensor, mixture: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
    """Squared error of the masked mixture to the targets, each utterance in its best order of sources: ().

    masks and sources (B, S, F, K), mixture (B, F, K), lengths (B,) in frames. As the reference has it, errors are
    summed over frequencies and averaged over frames, then over sources and utterances (s3prl,
    downstream/separation_stft/loss.py: MSELoss with NPSM).
    """
    estimates = masks * mixture.abs().unsqueeze(1)
    targets = phase_sensitive_targets(mixture, sources)
    num_sources = masks.shape[1]
    of_orders = [
        _squared_error(estimates, targets[:, list(order)], lengths) for order in permutations(range(num_sources))
    ]
    best = torch.stack(of_orders).amin(0)  # (B,)
    return best.mean() / num_sources


def _squared_error(estimates: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    of_frames = (estimates - targets).square().sum((1, 3))[..., None]  # (B, F, 1)
    return without_padding(of_frames, lengths).sum((1, 2)) / lengths
