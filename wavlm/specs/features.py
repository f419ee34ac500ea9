"""Specs of the features that labels are made of: MFCC, a hidden layer of a model, or log mel energies."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wavlm.specs.base import Count, Name, Spec


class MfccFeatures(Spec):
    """MFCC of Kaldi with deltas, 39 numbers, two per frame: mostly 100 per second (docs/algorithm.md 11.1)."""

    type: Literal["mfcc"]
    """Selects MFCC. Use it for iteration 1 where no model is there to make labels with."""


class HiddenFeatures(Spec):
    """The output of one transformer layer of a model, once per frame: mostly 50 times per second."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"model"})  # a Codebook holds its teacher

    type: Literal["hidden"]
    """Selects a hidden layer. In iteration 1 it needs `model`."""

    layer: Count
    """Number of the layer.

    Unit: layers, counted from 1.
    Source: docs/algorithm.md 11: layer 6 of HuBERT iteration 1 for WavLM Base, layer 9 of iteration 2 for Base+ and
    Large.
    Change: to the layer with the best PNMI in the scores of the model that is named.
    """

    model: Name | None = None
    """Name of one of the recipe's `models`, whose layer is clustered. Not given: the model of the iteration before.

    Change: to make labels with a released model, or with an earlier model of your own.
    """

    output: Literal["residual", "normed"] = "residual"
    """Where the output of a layer is taken. It matters for networks with `norm_first` (Large) alone.

    `residual`: as the next layer gets it, before any final norm: fairseq's `output_layer`, and `hidden_states[layer]`
    of transformers below the last layer. `normed`: after the network's final norm: `last_hidden_state` of transformers,
    and what s3prl gives as the last layer.
    Source: docs/algorithm.md 4.
    Change: `normed` to repeat labels that others made of the last layer after its norm.
    """


class LogMelFeatures(Spec):
    """80 log mel energies of consecutive frames of 10 ms, beside each other, 50 times per second.

    They are as loud as the speech: a codebook of random projections keeps their mean and variance.
    """

    type: Literal["log_mel"]
    """Selects log mel energies, for random projections and for k-means."""

    stack_frames: Annotated[int, Field(ge=1, le=16)] = 2
    """How many frames stand beside each other. They are the frames around that of the network, its own first one.

    Unit: frames of 10 ms.
    Source: arXiv 2202.01855 stacks as many as one frame of its network lasts. Ours lasts 20 ms, so that is 2.
    Change: 4 for labels that see 55 ms, as in speechbrain's BEST-RQ.
    """


Features = Annotated[MfccFeatures | HiddenFeatures | LogMelFeatures, Field(discriminator="type")]
