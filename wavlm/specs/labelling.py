"""From recordings to labels: shards, features, codebooks, and probes of layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, Natural, NonNegative, Positive, Probability, Spec


class ShardSpec(Spec):
    """How recordings become training utterances."""

    min_seconds: Positive
    max_seconds: Positive  # longer recordings are cut into equal pieces of at most this
    join_seconds: NonNegative = 0.0  # join consecutive clips of one speaker up to this; 0: never
    join_gap_seconds: NonNegative = 0.1  # silence between joined clips
    shard_megabytes: Positive = 256.0
    max_rejected: Probability = 0.01

    @model_validator(mode="after")
    def _check_order(self) -> ShardSpec:
        if self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds} is above max_seconds {self.max_seconds}")
        if self.join_seconds > self.max_seconds:
            raise ValueError(f"join_seconds {self.join_seconds} is above max_seconds {self.max_seconds}")
        return self


class MfccFeatures(Spec):
    """39-d Kaldi MFCC with deltas at 100 Hz (docs/algorithm.md 11.1)."""

    type: Literal["mfcc"]


class HiddenFeatures(Spec):
    """Raw output of a layer (1-based) of the previous iteration's model at 50 Hz."""

    type: Literal["hidden"]
    layer: Count


Features = Annotated[MfccFeatures | HiddenFeatures, Field(discriminator="type")]


class CodebookSpec(Spec):
    """k-means on a sampled, speaker-balanced, seeded subset."""

    features: Features
    num_clusters: Annotated[int, Field(ge=2, le=65535)]
    sample_frames_per_cluster: Count = 1000
    iterations: Count = 25
    redo: Count = 1
    seed: Natural = 0


class ScoresSpec(Spec):
    """Layer-wise label quality: k-means on each layer against MFCC, same frames, same K."""

    num_clusters: Annotated[int, Field(ge=2, le=65535)]
    layers: tuple[Count, ...] = ()  # empty: every layer
    max_utterances: Count = 400
    seed: Natural = 0
