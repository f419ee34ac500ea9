"""Connectionist temporal classification: the loss of a transcript, and the likeliest symbol of each frame.

B utterances, F frames, S symbols of a transcript, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.padding import valid_frames

BLANK = 0


class LastState(nn.Module):
    """Dropout and a linear layer on the last state: states (B, S, F, D) to logits (B, F, C)."""

    def __init__(self, width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_classes)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002  (no frame depends on another)
        logits: Tensor = self.output(self.dropout(states[:, -1]))
        return logits


def ctc_loss(logits: Tensor, lengths: Tensor, transcripts: list[list[int]], *, per_symbol: bool = True) -> Tensor:
    """Negative log likelihood per symbol, averaged over the utterances: logits (B, F, C) to ().

    As the reference has it: each utterance counts alike, and one whose transcript does not fit into its frames adds 0
    (s3prl, downstream/ctc/expert.py: zero_infinity). With `per_symbol` False: per utterance, as fairseq fine-tunes
    (`sentence_avg`), so long utterances count more.
    """
    valid_frames(lengths, logits.shape[1])  # refuses what does not fit
    if any(BLANK in transcript for transcript in transcripts):
        raise ValueError(f"a transcript holds the symbol {BLANK}, which is CTC's blank")
    device = logits.device
    flat = torch.tensor([symbol for transcript in transcripts for symbol in transcript], device=device)
    counts = torch.tensor([len(transcript) for transcript in transcripts], device=device)
    log_probabilities = functional.log_softmax(logits.float(), dim=-1).transpose(0, 1)  # (F, B, C)
    losses = functional.ctc_loss(
        log_probabilities, flat, lengths.to(device), counts, blank=BLANK, reduction="none", zero_infinity=True
    )
    return (losses / counts.clamp(min=1)).mean() if per_symbol else losses.mean()


def ctc_greedy(logits: Tensor, lengths: Tensor) -> list[list[int]]:
    """The likeliest class of each frame, repetitions joined, blanks left out: (B, F, C) to one list per utterance."""
    valid_frames(lengths, logits.shape[1])
    best = logits.argmax(-1).cpu()
    rows = (row[:length].unique_consecutive() for row, length in zip(best, lengths.tolist(), strict=True))
    return [row[row != BLANK].tolist() for row in rows]
