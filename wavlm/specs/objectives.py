"""Objective specs: what a network is pre-trained to do, and which metrics of it a gate may compare."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, NonNegative, Positive, Probability, Spec


class MaskedPrediction(Spec):
    """Predict the cluster label of each masked frame (docs/algorithm.md 9).

    Its weights (`masked_weight`, `unmasked_weight`, `feature_penalty`) and its temperature are fields of TrainSpec.
    """

    gated: ClassVar[tuple[str, ...]] = ("valid/loss", "valid/masked_accuracy")

    type: Literal["masked_prediction"]
    """Selects this objective."""


class QuantizerSpec(Spec):
    """The shape of a product quantiser: codebooks beside each other, whose entries are learned."""

    codebooks: Count = 2
    """Codebooks. Each gives one part of the vector of a frame.

    Source: fairseq wav2vec2_base_librispeech.yaml (latent_groups): 2.
    Change: rarely.
    """

    entries: Annotated[int, Field(ge=2)] = 320
    """Entries of each codebook.

    Source: fairseq wav2vec2_base_librispeech.yaml (latent_vars): 320.
    Change: fewer for a small network.
    """

    width: Count = 256
    """Size of the vector of a frame: of one entry of each codebook, behind each other.

    Source: fairseq: 256 for Base, 768 for Large (latent_dim, or final_dim where that is 0).
    Change: with `projection_width` of the network.
    """

    @model_validator(mode="after")
    def _check_parts(self) -> QuantizerSpec:
        if self.width % self.codebooks:
            raise FieldError(f"width {self.width} is not divisible by codebooks {self.codebooks}", "width")
        return self


class Contrastive(Spec):
    """wav2vec 2.0: tell the quantised vector of each masked frame from those of other masked frames of the utterance.

    It needs no labels (docs/algorithm.md 9). `logit_temperature` and `feature_penalty` are fields of TrainSpec.
    """

    # The loss and the accuracy of a quantiser that gives one code for everything are the best ones there are.
    gated: ClassVar[tuple[str, ...]] = (
        "valid/soft_perplexity",
        "valid/hard_perplexity",
        "valid/identical_negatives",
    )

    type: Literal["contrastive"]
    """Selects this objective."""

    quantizer: QuantizerSpec = QuantizerSpec()
    """The quantiser of the targets.

    Source: arXiv 2006.11477 section 4.2.
    Change: `width` with the network.
    """

    quantizer_dropout: Probability = 0.1
    """Dropout of the conv features before the quantiser.

    Unit: probability, 0 to 1.
    Source: fairseq: 0.1 for Base, 0 for Large (dropout_features).
    Change: together with the dropouts of the network.
    """

    num_negatives: Count = 100
    """Frames that each masked frame is told from: drawn with replacement among the other masked ones of its utterance.

    Source: arXiv 2006.11477 section 4.2.
    Change: rarely.
    """

    diversity_weight: NonNegative = 0.1
    """Weight of the share of entries that are not used, per masked frame.

    Source: arXiv 2006.11477 section 4.2.
    Change: larger if the perplexity of the codes falls.
    """

    first_temperature: Positive = 2.0
    """Temperature of the Gumbel softmax in the first update.

    Source: fairseq (latent_temp): 2.
    Change: rarely.
    """

    temperature_decay: Annotated[float, Field(gt=0, le=1)] = 0.999995
    """The temperature of update n is `first_temperature` times this to the power n, n from 0 on.

    Source: fairseq (latent_temp): 0.999995. fairseq2 counts forward calls instead of updates.
    Change: smaller for short trainings.
    """

    last_temperature: Positive = 0.5
    """The temperature falls no lower.

    Source: fairseq (latent_temp): 0.5 for Base, 0.1 for Large.
    Change: rarely.
    """

    collapse_updates: Count = 1000
    """The training ends when the codes of so many updates in a row have a hard perplexity below 1.5 per codebook.

    A quantiser that gives one code for everything has 1 per codebook, and the best loss and accuracy there are.
    Unit: updates.
    Change: rarely; in a training that is shorter it never ends one.
    """

    @model_validator(mode="after")
    def _check_temperatures(self) -> Contrastive:
        if self.last_temperature > self.first_temperature:
            raise FieldError(
                f"last_temperature {self.last_temperature} is above first_temperature {self.first_temperature}",
                "last_temperature",
            )
        return self

    def temperature(self, done_updates: int) -> float:
        """The Gumbel temperature of the update that follows `done_updates` finished ones."""
        return max(self.first_temperature * self.temperature_decay**done_updates, self.last_temperature)

    @property
    def least_perplexity(self) -> float:
        """Of codes that tell frames apart; below it all frames have nearly the same code."""
        return 1.5 * self.quantizer.codebooks


Objective: TypeAlias = Annotated[MaskedPrediction | Contrastive, Field(discriminator="type")]
