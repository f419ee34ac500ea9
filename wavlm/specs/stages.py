"""Specs of the stages of fine-tuning: what is trained how long, on what batches, with which rates and masks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from wavlm.specs.base import Count, FieldError, Natural, Positive, Probability, Spec
from wavlm.specs.schedules import AdamSpec, ConstantRate, OptimizerSpec, ScheduleSpec
from wavlm.specs.training import MaskSpec


class ChannelMaskSpec(Spec):
    """Masking of spans of channels of the encoder's input: they are 0 in all frames of an utterance."""

    probability: Probability
    """Number of spans times their length, relative to the channels. Spans may overlap.

    Unit: fraction, 0 to 1.
    Source: fairseq, examples/wav2vec/config/finetuning: 0.25 to 0.5 for few hours, 0.1 for 960 h.
    """

    length: Count = 64
    """Length of a span.

    Unit: channels.
    Source: as `probability`: 64.
    Change: smaller for narrow networks.
    """


class FinetuneStage(Spec):
    """A stretch of the training with settings of its own. It begins with what the stage before has left."""

    updates: Count
    """Number of optimizer updates.

    Unit: updates.
    """

    batch_seconds: Positive
    """Audio of one update, over all GPUs, padding included.

    Unit: seconds of audio.
    """

    group_seconds: Positive
    """Audio of one micro-batch at most, padding included: what one GPU computes at once. A longer utterance is alone.

    One update has batch_seconds / group_seconds micro-batches, which ranks share.
    Unit: seconds of audio.
    Change: to what fits into the memory of your GPU.
    """

    peak_lr: Positive
    """Largest learning rate: that of the head.

    Source: the published recipe of the task.
    """

    schedule: ScheduleSpec = ConstantRate(type="constant")
    """The learning rate over the updates of the stage.

    Change: as the published recipe says.
    """

    optimizer: OptimizerSpec = AdamSpec(type="adam")
    """The optimizer. Its moments begin anew in each stage.

    Change: as the published recipe says.
    """

    frozen: Literal["all", "cnn", "none"] | Count = "cnn"
    """What of the network stays as it is: all of it, its convolutions, nothing, or the convolutions, what follows them
    and that many of the lowest layers.

    Source: fairseq's fine-tuning freezes the convolutions.
    Change: all for a first stage that trains the head alone.
    """

    frozen_updates: Natural = 0
    """In the first so many updates of the stage all of the network stays as it is.

    Unit: updates.
    Source: fairseq, freeze_finetune_updates: 10,000 for 1 h and 10 h.
    Change: as the published recipe says.
    """

    network_lr: Positive = 1.0
    """The network's learning rate, over that of the head.

    Change: 0.01 to 0.1 where a large head begins with random weights.
    """

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer has this many times the learning rate of the layer above it; what is below the layers, of the lowest.

    The layer l of L has network_lr x layer_decay^(L - l).
    Source: Clark et al. 2020 (ELECTRA), 0.65 to 0.9.
    Change: below 1 where few data make the network forget.
    """

    crop_seconds: Positive | None = None
    """Longer recordings are cut to this length, at a new random place in every epoch. Not given: they are whole.

    Unit: seconds.
    Change: needed for long recordings; not for tasks that write what is said.
    """

    time_mask: MaskSpec | None = None
    """Masking of frames of the encoder's input while training, as in pre-training. Not given: none.

    Source: fairseq's fine-tuning, probability 0.5 to 0.75.
    Change: give it where the network is trained on few hours.
    """

    channel_mask: ChannelMaskSpec | None = None
    """Masking of channels of the encoder's input while training. Not given: none.

    Change: together with `time_mask`.
    """

    layer_drop: Probability | None = None
    """Probability that a layer is left out in an update. Not given: that of the network.

    Source: fairseq's fine-tuning, 0.05 to 0.1.
    Change: 0 where heads weigh all layers.
    """

    clip_norm: Positive = 1.0
    """Gradients with a larger norm are scaled down to this norm.

    Change: as the published recipe says.
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number type of matrix products. Weights and their updates stay fp32.

    Change: bf16 on a GPU that supports it.
    """

    dev_every: Count
    """How often the system is scored on the dev part.

    Unit: updates.
    """

    keep: Literal["best", "last", "mean"] = "best"
    """Which weights the stage leaves: those that were best on the dev part, the last ones, or a mean of weights.

    Change: mean where the published recipe averages checkpoints.
    """

    mean_of: Count = 5
    """With `keep: mean`: the mean of the weights at so many last scores on the dev part.

    Unit: scores on the dev part.
    Source: EEND-vector clustering averages the last 10 epochs, in adaptation the last 5.
    Change: as the published recipe says.
    """

    head: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields of the head that have other values in this stage, each as a whole. Shapes stay as they are.

    Change: for margins and weights of losses that change from stage to stage.
    """

    def __hash__(self) -> int:
        """A dictionary has no hash."""
        return hash(self.model_dump_json())

    @property
    def micro_batches_per_update(self) -> int:
        """How many micro-batches one update has, over all GPUs."""
        return max(1, round(self.batch_seconds / self.group_seconds))

    @model_validator(mode="after")
    def _check_consistent(self) -> FinetuneStage:
        if self.group_seconds > self.batch_seconds:
            raise FieldError(
                f"group_seconds {self.group_seconds:g} is above batch_seconds {self.batch_seconds:g}", "group_seconds"
            )
        if self.frozen_updates > self.updates:
            raise FieldError(f"frozen_updates {self.frozen_updates} is above updates {self.updates}", "frozen_updates")
        if self.keep == "mean" and self.mean_of * self.dev_every > self.updates:
            raise FieldError(
                f"the mean is of {self.mean_of} scores on the dev part, {self.updates} updates have "
                f"{self.updates // self.dev_every}",
                "mean_of",
            )
        return self
