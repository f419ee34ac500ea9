"""Bidirectional LSTMs on frames: SUPERB's head for speech recognition and slot filling, with CTC.

B utterances, F frames, D channels, H hidden channels, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.padding import run_recurrent

HIDDEN = 1024  # s3prl, downstream/asr/config.yaml: project_dim and RNNs.dim
NUM_LAYERS = 2
DROPOUT = 0.2


class Blstm(nn.Module):
    """Linear D to H; BLSTMs of H units in each direction, each followed by dropout; Linear 2H to C.

    `tanh_projections` puts a Linear 2H to 2H and tanh after each BLSTM, as the reference does for recognition of other
    languages (s3prl, downstream/ctc/cv_config/cv_es.yaml: proj).
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        hidden: int = HIDDEN,
        num_layers: int = NUM_LAYERS,
        dropout: float = DROPOUT,
        tanh_projections: bool = False,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(width, hidden)
        inputs = [hidden] + [2 * hidden] * (num_layers - 1)
        self.recurrent = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True, bidirectional=True) for size in inputs)
        self.dropout = nn.Dropout(dropout)
        self.between = nn.ModuleList(nn.Linear(2 * hidden, 2 * hidden) for _ in inputs if tanh_projections)
        self.output = nn.Linear(2 * hidden, num_classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits of each frame: (B, F, D) to (B, F, C). Those of padding mean nothing."""
        x = self.projection(frames)
        for number, layer in enumerate(cast("Iterable[nn.LSTM]", self.recurrent)):
            x = self.dropout(run_recurrent(layer, x, lengths))  # (B, F, 2H)
            if self.between:
                x = torch.tanh(self.between[number](x))
        logits: Tensor = self.output(x)
        return logits
