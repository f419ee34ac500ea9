"""Log mel filter banks with deltas, as speech recognition used before networks: (N,) -> (F, 240) at 100 Hz.

Legend: N samples, F frames.
"""

from __future__ import annotations

import numpy as np
import torch

from wavlm.features.mfcc import Floats, log_mel_energies, slopes

NUM_MELS = 80
FBANK_CHANNELS = 3 * NUM_MELS


def fbank(waveform: Floats) -> Floats:
    """80 log mel energies of frames of 25 ms every 10 ms, with first and second differences: (N,) -> (F, 240).

    Window, pre-emphasis and edges are those of `wavlm.features.mfcc.mfcc`. No mean is subtracted: a mean over time,
    which heads of whole utterances take, would be nothing then.
    """
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        energies = log_mel_energies(samples[None], NUM_MELS)  # (1, F, 80)
        deltas = slopes(energies, None)
        rows: Floats = torch.cat([energies, deltas, slopes(deltas, None)], dim=2)[0].numpy()
        return rows
