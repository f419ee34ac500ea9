"""Spec of the head for continuous separation of speech."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Probability, Spec


class SeparatorHead(Spec):
    """Conformer on the spectrum of the mixture and the weighted sum of states; a mask per voice, and one for noise."""

    type: Literal["conformer"]
    """Selects this head (Chen et al. 2021, arXiv 2008.05773; Chen et al. 2022, arXiv 2110.13900, section V)."""

    takes: Literal["both", "spectrum", "states"] = "both"
    """What it sees: the spectrum of the mixture, the states of the model, or both.

    Source: the paper's rows of WavLM have both, its row Conformer the spectrum alone.
    Change: spectrum for the baseline.
    """

    width: Count = 256
    """Width of the Conformer.

    Unit: channels.
    Source: CSS_with_Conformer, nnet/conformer.py: attention_dim 256.
    Change: smaller for a quick look.
    """

    layers: Count = 16
    """Conformer layers.

    Unit: layers.
    Source: CSS_with_Conformer: num_blocks 16.
    Change: fewer for a quick look.
    """

    attention_heads: Count = 4
    """Attention heads.

    Source: CSS_with_Conformer: attention_heads 4.
    Change: a divisor of the width.
    """

    feed_forward: Count = 1024
    """Width of the feed-forward layers.

    Unit: channels.
    Source: CSS_with_Conformer: linear_units 1024.
    Change: smaller for a quick look.
    """

    kernel: Annotated[int, Field(ge=1)] = 33
    """Frames that a convolution sees; odd.

    Unit: frames of 16 ms.
    Source: CSS_with_Conformer: kernel_size 33.
    Change: rarely.
    """

    dropout: Probability = 0.0
    """Share of the channels that are dropped while training.

    Source: 0.1 in CSS_with_Conformer, whose authors found it better without (their issue 9).
    Change: 0.1 for little speech.
    """

    @model_validator(mode="after")
    def _check(self) -> SeparatorHead:
        if self.width % self.attention_heads:
            raise FieldError(f"{self.attention_heads} heads do not divide the width {self.width}", "attention_heads")
        if not self.kernel % 2:
            raise FieldError(f"found {self.kernel}, expected an odd number", "kernel")
        return self
