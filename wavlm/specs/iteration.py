"""Iteration spec: cluster features to get labels, then train a model to predict them; or train without labels."""

from __future__ import annotations

from pydantic import model_validator

from wavlm.specs.base import FieldError, Name, Spec
from wavlm.specs.features import HiddenFeatures
from wavlm.specs.label_sources import LabelSource, hidden_features
from wavlm.specs.mixing import MixSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.objectives import MaskedPrediction
from wavlm.specs.start import StartSpec
from wavlm.specs.training import TrainSpec


class IterationSpec(Spec):
    """One iteration: cluster features to get labels, then train a model to predict them; or train without labels."""

    codebook: LabelSource | None = None
    """Where the labels come from. What has no `type` is k-means. Not given: there are none, for an objective that needs
    none.

    Source: docs/algorithm.md 11.
    Change: `type: random_projection` needs no clustering, `multi_codebook` gives several labels per frame, `external`
    takes those of a file. Leave it out only where `train.objective` is contrastive.
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

    @property
    def hidden(self) -> HiddenFeatures | None:
        """The hidden layer that labels are made of; None if no model is needed for them."""
        return hidden_features(self.codebook) if self.codebook else None

    @property
    def teacher(self) -> Name | None:
        """The recipe's model whose layer is clustered; None if it is that of the iteration before, or there is none."""
        return self.hidden.model if self.hidden else None

    @model_validator(mode="after")
    def _check_labels(self) -> IterationSpec:
        needs = isinstance(self.train.objective, MaskedPrediction)
        if needs and self.codebook is None:
            raise FieldError("masked prediction needs labels: give a codebook", "codebook")
        if not needs and self.codebook is not None:
            raise FieldError("a contrastive objective reads no labels: leave the codebook out", "codebook")
        return self
