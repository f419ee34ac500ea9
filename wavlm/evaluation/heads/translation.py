"""A Transformer from frames to symbols: SUPERB's head for speech translation.

B utterances, F frames, T frames after subsampling, D channels, H hidden channels, S symbols in a translation, C kinds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavlm.evaluation.heads.padding import valid_frames, without_padding

HIDDEN = (
    512  # fairseq's s2t_transformer: embed_dim, attention_heads, ffn_embed_dim / embed_dim, conv_channels / embed_dim
)
NUM_HEADS = 8
NUM_LAYERS = 3  # s3prl, downstream/speech_translation/config.yaml: encoder_layers, decoder_layers
DROPOUT = 0.1
LABEL_SMOOTHING = 0.1
KERNEL, STRIDE, NUM_CONVS = 5, 2, 2
PADDING_SYMBOL = 1  # as in fairseq's dictionaries
END_SYMBOL = 2  # ends a translation, and stands before its first symbol
NUM_SPECIAL = 4  # symbols of text begin here
FIRST_POSITION = PADDING_SYMBOL + 1  # fairseq counts positions from here


class Translator(nn.Module):
    """Two convolutions that take every second frame; a Transformer encoder; a Transformer decoder.

    Norms stand before each part (pre-norm) and after the last layer. Positions are sinusoidal.
    """

    def __init__(
        self,
        width: int,
        num_symbols: int,
        *,
        hidden: int = HIDDEN,
        num_heads: int = NUM_HEADS,
        num_layers: int = NUM_LAYERS,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        self.hidden = hidden
        widths = ((width, 2 * hidden), (hidden, 2 * hidden))  # a gated linear unit halves what comes out
        self.convs = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, STRIDE, padding=KERNEL // 2) for before, after in widths
        )
        sizes = (hidden, num_heads, 4 * hidden, dropout)
        encoder = nn.TransformerEncoderLayer(*sizes, norm_first=True, batch_first=True)
        decoder = nn.TransformerDecoderLayer(*sizes, norm_first=True, batch_first=True)
        self.encoder = nn.TransformerEncoder(encoder, num_layers, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder, num_layers, nn.LayerNorm(hidden))
        self.embedding = nn.Embedding(num_symbols, hidden, padding_idx=PADDING_SYMBOL)
        self.output = nn.Linear(hidden, num_symbols, bias=False)
        self.dropout = nn.Dropout(dropout)
        self._start()

    def forward(self, frames: Tensor, lengths: Tensor, symbols: Tensor) -> Tensor:
        """Logits of the symbol after each of `symbols` (B, S), which begin with END_SYMBOL: (B, S, C)."""
        return self.decode(self.encode(frames, lengths), encoded_lengths(lengths), symbols)

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, F, D) to (B, T, H), of which the first `encoded_lengths(lengths)` are real."""
        x = without_padding(frames, lengths)
        for conv in cast("Iterable[nn.Conv1d]", self.convs):
            x = functional.glu(conv(x.transpose(1, 2)), dim=1).transpose(1, 2)
            lengths = _halved(lengths)
            x = without_padding(x, lengths)  # the bias of the convolution is not silence to the next one
        x = self.dropout(math.sqrt(self.hidden) * x + sinusoids(x.shape[1], self.hidden, x))
        padding = ~valid_frames(lengths, x.shape[1]).to(x.device)
        encoded: Tensor = self.encoder(x, src_key_padding_mask=padding)
        return encoded

    def decode(self, encoded: Tensor, num_encoded: Tensor, symbols: Tensor) -> Tensor:
        """(B, T, H), of which num_encoded (B,) are real, and symbols (B, S) to logits (B, S, C)."""
        embedded = math.sqrt(self.hidden) * self.embedding(symbols)
        x = self.dropout(embedded + sinusoids(symbols.shape[1], self.hidden, embedded))
        future = torch.ones(symbols.shape[1], symbols.shape[1], dtype=torch.bool, device=x.device).triu(1)
        padding = ~valid_frames(num_encoded, encoded.shape[1]).to(x.device)
        decoded = self.decoder(x, encoded, tgt_mask=future, memory_key_padding_mask=padding)
        logits: Tensor = self.output(decoded)
        return logits

    def _start(self) -> None:
        """fairseq's initial values, where torch has others."""
        nn.init.normal_(self.output.weight, std=self.hidden**-0.5)
        nn.init.normal_(self.embedding.weight, std=self.hidden**-0.5)
        with torch.no_grad():
            self.embedding.weight[PADDING_SYMBOL] = 0
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention):
                nn.init.xavier_uniform_(module.out_proj.weight)


def encoded_lengths(lengths: Tensor) -> Tensor:
    """How many of the frames after subsampling are real: (B,) to (B,)."""
    for _ in range(NUM_CONVS):
        lengths = _halved(lengths)
    return lengths


def _halved(lengths: Tensor) -> Tensor:
    return (lengths - 1) // STRIDE + 1


def sinusoids(num_positions: int, hidden: int, like: Tensor) -> Tensor:
    """Sines, then cosines, of geometric wavelengths as in tensor2tensor: (num_positions, H)."""
    half = hidden // 2
    rates = torch.exp(torch.arange(half, device=like.device) * -(math.log(10_000) / max(half - 1, 1)))
    angles = (torch.arange(num_positions, device=like.device) + FIRST_POSITION)[:, None] * rates
    return nn.functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, hidden % 2)).to(like.dtype)


def translation_loss(logits: Tensor, following: Tensor, *, smoothing: float = LABEL_SMOOTHING) -> Tensor:
    """Label-smoothed cross entropy per utterance: logits (B, S, C), following symbols (B, S), PADDING_SYMBOL ignored.

    fairseq spreads `smoothing` over the other symbols, torch over all of them: hence the factor. As in the reference
    the sum over symbols is divided by the number of utterances (s3prl, downstream/speech_translation/expert.py).
    """
    num_symbols = logits.shape[2]
    total = functional.cross_entropy(
        logits.flatten(0, 1),
        following.flatten(),
        ignore_index=PADDING_SYMBOL,
        label_smoothing=smoothing * num_symbols / (num_symbols - 1),
        reduction="sum",
    )
    return total / len(logits)
