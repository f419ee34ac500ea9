"""Specs of optimizers and of learning rates over the updates of a stage of fine-tuning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import FieldError, Natural, NonNegative, Positive, Probability, Spec


class ConstantRate(Spec):
    """The peak rate from the end of the warm-up to the last update."""

    type: Literal["constant"]
    """Selects a constant rate."""

    warmup_updates: Natural = 0
    """Updates in which the rate rises linearly to the peak.

    Unit: updates.
    Change: some hundred where a network is trained that was frozen before.
    """


class LinearRate(Spec):
    """A linear rise to the peak, then a linear fall to 0 at the last update."""

    type: Literal["linear"]
    """Selects a rate that falls linearly."""

    warmup_updates: Natural = 0
    """Updates in which the rate rises linearly to the peak.

    Unit: updates.
    Change: as the published recipe says.
    """


class TriStageRate(Spec):
    """A linear rise, a plateau at the peak, and an exponential fall: fairseq's schedule of fine-tuning with CTC."""

    type: Literal["tri_stage"]
    """Selects the schedule of three stages."""

    warmup: Probability = 0.1
    """Share of the updates in which the rate rises.

    Unit: fraction, 0 to 1.
    Source: fairseq, examples/wav2vec/config/finetuning: 0.1, 0.4 and 0.5.
    Change: as the published recipe says.
    """

    hold: Probability = 0.4
    """Share of the updates with the peak rate. The rate falls in the rest.

    Unit: fraction, 0 to 1.
    Source: as `warmup`.
    Change: as the published recipe says.
    """

    initial_scale: Positive = 0.01
    """The first rate, over the peak.

    Source: fairseq, TriStageLRSchedule: 0.01.
    Change: rarely.
    """

    final_scale: Positive = 0.05
    """The last rate, over the peak.

    Source: as `warmup`: 0.05.
    Change: rarely.
    """

    @model_validator(mode="after")
    def _check_shares(self) -> TriStageRate:
        if self.warmup + self.hold > 1:
            raise FieldError(f"warmup {self.warmup:g} and hold {self.hold:g} are more than all updates", "hold")
        return self


class NoamRate(Spec):
    """A linear rise to the peak, then a fall with one over the square root of the update (Vaswani et al. 2017, 5.3)."""

    type: Literal["noam"]
    """Selects the schedule of the Transformer."""

    warmup_updates: Annotated[int, Field(ge=1)]
    """Updates until the peak. A recipe that gives a factor k and a width d means the peak k / sqrt(d warmup_updates).

    Unit: updates.
    Source: EEND recipes, 25,000 or 100,000.
    Change: as the published recipe says.
    """


class ExponentialRate(Spec):
    """A rate that falls exponentially from the peak, times a linear warm-up."""

    type: Literal["exponential"]
    """Selects a rate that falls exponentially from the first update on."""

    final_scale: Positive
    """The last rate, over the peak.

    Source: WeSpeaker, examples/voxceleb/v2: 1e-5 of 0.1, which is 1e-4.
    """

    warmup_updates: Natural = 0
    """Updates in which a factor rises linearly to 1.

    Unit: updates.
    Change: as the published recipe says.
    """


ScheduleSpec = Annotated[
    ConstantRate | LinearRate | TriStageRate | NoamRate | ExponentialRate, Field(discriminator="type")
]


class AdamSpec(Spec):
    """Adam, or AdamW, whose decay of the weights is decoupled from the gradient."""

    type: Literal["adam", "adamw"]
    """Which of both."""

    betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Decay of the two moments.

    Source: fairseq's fine-tuning, 0.9 and 0.98.
    Change: as the published recipe says.
    """

    eps: Positive = 1e-8
    """Epsilon of the denominator.

    Source: fairseq's fine-tuning, 1e-8.
    Change: rarely.
    """

    weight_decay: NonNegative = 0.0
    """Decay of the weights per update.

    Change: as the published recipe says.
    """

    @model_validator(mode="after")
    def _check_betas(self) -> AdamSpec:
        if max(self.betas) == 1:
            raise FieldError(f"found {self.betas[0]:g} and {self.betas[1]:g}, expected less than 1", "betas")
        return self


class SgdSpec(Spec):
    """Stochastic gradient descent with momentum."""

    type: Literal["sgd"]
    """Selects this optimizer."""

    momentum: Probability = 0.9
    """Decay of the mean of gradients.

    Source: speaker verification, 0.9 (unilm issue 695; WeSpeaker).
    Change: rarely.
    """

    nesterov: bool = False
    """True: Nesterov's momentum.

    Source: WeSpeaker, true.
    Change: as the published recipe says.
    """

    weight_decay: NonNegative = 0.0
    """Decay of the weights per update, as part of the gradient.

    Source: speaker verification, 1e-4 or 4e-4.
    Change: as the published recipe says.
    """

    @model_validator(mode="after")
    def _check_momentum(self) -> SgdSpec:
        if self.nesterov and not self.momentum:
            raise FieldError("Nesterov's momentum needs a momentum above 0", "momentum")
        return self


OptimizerSpec = Annotated[AdamSpec | SgdSpec, Field(discriminator="type")]
