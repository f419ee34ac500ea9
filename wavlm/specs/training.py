"""How a network is trained."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from pydantic import model_validator

from wavlm.specs.base import Count, Natural, NonNegative, Positive, Probability, Sha256, Spec


class MaskSpec(Spec):
    """Span masking of frames (docs/algorithm.md 6)."""

    probability: Probability = 0.8
    length: Count = 10
    min_spans: Natural = 2
    equalise: bool = False  # True: fairseq's per-batch equalisation, for parity only


class StartSpec(Spec):
    """Weights to start from instead of random ones: a model folder, as `wavlm import` writes it."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"folder"})

    folder: str
    sha256: Sha256  # of its model.safetensors; the folder may lie elsewhere tomorrow


class MaskedPrediction(Spec):
    """Predict the cluster label of each masked frame (docs/algorithm.md 9).

    Its weights (`masked_weight`, `unmasked_weight`, `feature_penalty`) and its temperature are fields of TrainSpec.
    """

    type: Literal["masked_prediction"]


# The pre-training objectives, a union that has one member so far. pydantic accepts a discriminator only with two:
# the second member makes this `Annotated[MaskedPrediction | Contrastive, Field(discriminator="type")]`.
Objective: TypeAlias = MaskedPrediction


class TrainSpec(Spec):
    """Objective and optimisation (docs/algorithm.md 7, 9, 10). Seconds are seconds of audio.

    One update has batch_seconds / group_seconds micro-batches. A micro-batch is what the paper calls a GPU's
    batch: its utterances are cropped to the shortest and mix with each other. Runtime decides which GPU computes
    which micro-batch. That changes nothing but the order of sums.
    """

    objective: Objective = MaskedPrediction(type="masked_prediction")
    updates: Count
    warmup_updates: Natural
    peak_lr: Positive
    batch_seconds: Positive
    group_seconds: Positive
    max_crop_seconds: Positive = 15.625
    # The number of frames of a crop is a multiple of this. Batches then have fewer shapes, and each shape is
    # compiled once. With 32, 960 h of read speech give about 23 shapes instead of 390. An epoch then trains on
    # 97.5% of the audio instead of 99%, and leaves out another part each time.
    crop_frames_multiple: Count = 1
    adam_betas: tuple[Probability, Probability] = (0.9, 0.98)
    adam_eps: Positive = 1e-6
    weight_decay: NonNegative = 0.01
    clip_norm: Positive = 10.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    mask: MaskSpec = MaskSpec()
    logit_temperature: Positive = 0.1
    masked_weight: NonNegative = 1.0
    unmasked_weight: NonNegative = 0.0
    feature_penalty: NonNegative = 10.0
    valid_every: Count = 1000  # updates; part of identity because curves are part of the artifact
    log_every: Count = 50
    seed: Natural = 0

    @property
    def micro_batches_per_update(self) -> int:
        return max(1, round(self.batch_seconds / self.group_seconds))

    @model_validator(mode="after")
    def _check_consistent(self) -> TrainSpec:
        if self.warmup_updates > self.updates:
            raise ValueError(f"warmup_updates {self.warmup_updates} is above updates {self.updates}")
        if self.group_seconds > self.batch_seconds:
            raise ValueError(f"group_seconds {self.group_seconds} is above batch_seconds {self.batch_seconds}")
        return self
