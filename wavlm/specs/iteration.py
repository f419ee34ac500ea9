"""Iteration spec: cluster features to get labels, then train a model to predict them."""

from __future__ import annotations

from wavlm.specs.base import Name, Spec
from wavlm.specs.label_sources import LabelSource
from wavlm.specs.mixing import MixSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.start import StartSpec
from wavlm.specs.training import TrainSpec


class IterationSpec(Spec):
    """One iteration: cluster features to get labels, then train a model to predict them."""

    codebook: LabelSource
    """Where the labels come from. What has no `type` is k-means.

    Source: docs/algorithm.md 11.
    Change: `type: random_projection` needs no clustering, `multi_codebook` gives several labels per frame, `external`
    takes those of a file.
    """

    network: NetworkSpec
    """The network that is trained. In YAML: the name of a file of data_specs/networks, that as `preset` with changes,
    `{model: NAME}`, the network of one of the recipe's `models` (with changes), or written out.

    Change: with the amount of speech and computation.
    """

    train: TrainSpec
    """How it is trained.

    Change: with the amount of speech, the GPUs and the time.
    """

    mix: MixSpec | None = None
    """In YAML: the name of a file of data_specs/mixes. Not given: nothing is mixed, as in HuBERT.

    Source: docs/algorithm.md 12.
    Change: give it to train WavLM: `wavlm-base` without noise, `wavlm-large` with noise.
    """

    start: StartSpec | None = None
    """Weights to start from: `{model: NAME}`, one of the recipe's `models`. Not given: random weights.

    Change: to continue from a released model, or from one of your own.
    """

    speech: tuple[Name, ...] = ()
    """Names of the recipe's speech corpora that this iteration uses. Empty: all of them.

    Change: when the first iterations use less speech, as in wavlm-large.
    """
