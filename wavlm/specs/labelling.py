"""Specs from recordings to labels: shards, k-means codebooks and what they are fitted on, and scores of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import (
    Count,
    FieldError,
    Name,
    Natural,
    NonNegative,
    Positive,
    Probability,
    SampleRate,
    Spec,
)
from wavlm.specs.features import Features
from wavlm.specs.sampling import SamplingSpec


class ShardSpec(Spec):
    """How recordings become utterances in tar shards: dropped, cut into pieces or joined."""

    min_seconds: Positive
    """Shorter utterances are dropped.

    Unit: seconds.
    Source: docs/algorithm.md 7: fairseq drops utterances below 2 s.
    Change: lower it when your recordings are short (1.5 in the demo).
    """

    max_seconds: Positive
    """Longer recordings are cut into pieces of at most this length, as `cut` says.

    Unit: seconds.
    Change: training crops to at most `max_crop_seconds`; shorter pieces than that make crops shorter.
    """

    cut: Literal["pauses", "equal"] = "pauses"
    """Where longer recordings are cut.

    `pauses`: where nobody speaks, and if nobody pauses within reach, at the quietest place; pieces have half of
    `max_seconds` or more where pauses allow it. `equal`: into the fewest pieces of equal length, also within a
    word. Recordings that are not speech are cut equally, and all if `min_seconds` is more than half of `max_seconds`.
    Change: `equal` where pieces must have one length, or where the audio is no speech.
    """

    join_seconds: NonNegative = 0.0
    """Consecutive recordings of one known speaker are joined to utterances of at most this length. 0: never.

    Unit: seconds.
    Change: when most recordings last only 1 to 3 s (8.0 in the demo).
    """

    join_gap_seconds: NonNegative = 0.1
    """Silence between two joined recordings.

    Unit: seconds.
    Change: when joined recordings should sound as with another pause.
    """

    shard_megabytes: Positive = 256.0
    """Size of a shard, a tar file of utterances. A shard is also the part that one worker makes at a time.

    Unit: megabytes (10^6 bytes).
    Change: larger for large corpora, so that there are fewer files (512 in the paper's recipes); smaller for small
    ones, so that all workers have a shard to make (24 in the demo).
    """

    sample_rate_hz: SampleRate = 16000
    """Samples per second of the utterances. Recordings of other rates are resampled.

    Unit: Hz.
    Source: docs/algorithm.md 7: 16000.
    Change: 8000 for telephone speech, 24000 or more for music and animals, with a network for that rate: strides whose
    product is a fiftieth of it (`networks/tiny-8khz`, `networks/tiny-24khz`), or any strides and the network's own
    `sample_rate_hz`. It makes other shards, labels and models.
    """

    max_rejected: Probability = 0.01
    """The stage fails if a larger fraction of the recordings gives no utterance because it is bad.

    Pieces without sound are left out and do not count here, if other pieces of their recording are used.
    Unit: fraction, 0 to 1.
    Change: raise it after you have looked at the list of rejected recordings and accept it.
    """

    @model_validator(mode="after")
    def _check_order(self) -> ShardSpec:
        if self.min_seconds > self.max_seconds:
            raise FieldError(f"min_seconds {self.min_seconds} is above max_seconds {self.max_seconds}", "min_seconds")
        if self.join_seconds > self.max_seconds:
            raise FieldError(
                f"join_seconds {self.join_seconds} is above max_seconds {self.max_seconds}", "join_seconds"
            )
        return self


class RefitSpec(Spec):
    """When a codebook is fitted again although the recipe did not change: once a corpus has grown by so much."""

    growth: Positive
    """How much a corpus must have grown since the codebook was fitted: 0.5 is by half. Each corpus is looked at alone.

    It is about the bytes of its files, which are known before any of them is decoded.
    Unit: fraction of the size that it had when the codebook was fitted.
    Change: lower it where new speech is unlike the old. A new codebook means new labels for all speech.
    """

    def choose(self, sizes: Sequence[int]) -> int:
        """The generation that a codebook is fitted on. sizes: bytes of the corpus in each generation, oldest first."""
        fitted = 1
        for number, size in enumerate(sizes, 1):
            if size > (1 + self.growth) * sizes[fitted - 1]:
                fitted = number
        return fitted


class SampledSpec(Spec):
    """What every codebook that is fitted on a random sample of frames has: where the sample comes from."""

    # A Codebook holds the shards that it is fitted on: those of these corpora, in these generations.
    not_identity: ClassVar[frozenset[str]] = frozenset({"speech", "refit"})

    frames_per_utterance: Count = 80
    """How many frames of an utterance the sample takes, from its whole length. More only if there are too few.

    Unit: frames.
    Source: own choice (decision 23). The reference takes all frames of a tenth of the utterances.
    Change: fewer give more utterances and speakers for the same sample. Each of them is decoded and computed whole, so
    time grows as much.
    """

    speech: tuple[Name, ...] = ()
    """Names of the recipe's speech corpora that it is fitted on. Empty: those that the iteration trains on.

    Source: docs/algorithm.md 11: the last codebook of Base+ and Large is fitted on LibriSpeech.
    Change: to fit on clean or well balanced speech and label other speech with it.
    """

    shares: tuple[Positive, ...] = ()
    """Share of the sample of each corpus in `speech`, in that order. They need not add up to 1. Empty: by hours.

    Change: when a small corpus should count as much as a large one: `[1, 1]`.
    """

    sampling: SamplingSpec | None = None
    """Shares of the sample by language, by corpus, or by both, as in training. Not given: by hours, or as `shares` say.

    Source: arXiv 2406.06371: the codebooks of mHuBERT-147 are fitted on a sample with the shares of its training.
    Change: where training has `sampling`, give it here too.
    """

    refit: Literal["never"] | RefitSpec = "never"
    """When a corpus that grows gets a new codebook. `never`: it stays the one of the first generation.

    Then labels of old speech stay, and only what is new is labelled. In YAML `refit: {growth: 0.5}` fits it again once
    a corpus has grown by half since.
    Change: where the first generation was small, or unlike what came later.
    """

    seed: Natural = 0
    """Seed of the sample, and of all random numbers.

    Change: to repeat an experiment with other random choices.
    """

    @model_validator(mode="after")
    def _check_shares(self) -> SampledSpec:
        if twice := sorted({name for name in self.speech if self.speech.count(name) > 1}):
            raise FieldError(f"speech names {', '.join(twice)} twice", "speech")
        if self.shares and len(self.shares) != len(self.speech):
            raise FieldError(
                f"found {len(self.shares)} shares, expected {len(self.speech)}: one per name in speech", "shares"
            )
        if self.shares and self.sampling:
            raise FieldError("shares and sampling both say what the sample is made of: leave one out", "sampling")
        return self


class CodebookSpec(SampledSpec):
    """k-means on a random sample of frames, with a share per corpus. Its clusters are the labels."""

    num_streams: ClassVar[int] = 1

    type: Literal["kmeans"] = "kmeans"
    """Selects k-means. It is what a codebook without a `type` is.

    Change: see the other codebooks.
    """

    features: Features
    """What is clustered: MFCC, or a hidden layer of a model: of the iteration before, or of one of `models`.

    Source: docs/algorithm.md 11.
    Change: `mfcc` in iteration 1, `hidden` afterwards; `hidden` with `model` in every iteration.
    """

    num_clusters: Annotated[int, Field(ge=2, le=65535)]
    """Number of clusters K. A frame's label is the number of its nearest cluster.

    Source: docs/algorithm.md 11: 100 on MFCC, 500 on hidden layers.
    Change: keep it equal between iterations whose label quality you want to compare (100 in the demo).
    """

    sample_frames_per_cluster: Count = 1000
    """Size of the sample that k-means is fitted on. The sample has K times this many frames.

    Unit: frames per cluster.
    Change: lower it when the corpus is small or time is short. The reference fits on 10 % of the utterances instead.
    """

    iterations: Count = 25
    """Rounds of k-means: assign every frame, then move every centroid.

    Change: rarely. `codebook.json` lists the inertia of every round: raise it if the last rounds still improve it.
    """

    redo: Count = 1
    """How many times k-means starts from other random centroids. The best result is kept.

    Source: docs/algorithm.md 11.2: the reference starts 20 times, with smaller batches.
    Change: raise it when results differ much between seeds. The time of k-means grows with it.
    """

    @property
    def sample_frames(self) -> int:
        """Size of the sample that k-means is fitted on."""
        return self.sample_frames_per_cluster * self.num_clusters


class ScoresSpec(Spec):
    """Scores of layers, beside those of MFCC: k-means judged by timed phones, ABX, effective rank, cluster quality."""

    num_clusters: Annotated[int, Field(ge=2, le=65535)]
    """Number of clusters K, for every layer and for MFCC.

    Change: keep it as it is when you compare models, because PNMI depends on K.
    """

    layers: tuple[Count, ...] = ()
    """The layers that are scored. Empty: every layer.

    Unit: layers, counted from 1.
    Change: list a few layers of a deep model to save time.
    """

    max_utterances: Count = 400
    """How many utterances with timed phones are used at most: half, of train speech, to fit k-means, half, of valid
    speech, to judge. If one of the splits has no phones, both are of the other. As many are used, in equal parts of all
    corpora, for what needs no phones: effective rank and cluster quality.

    Unit: utterances.
    Change: lower it to save time (120 in the demo).
    """

    abx_cells: Natural = 1000
    """How many cells of ABX are measured at most, within speakers and across: ordered pairs of phones between the same
    two phones, of one speaker. 0: no ABX.

    Unit: cells.
    Source: docs/evaluation.md.
    Change: raise it for a narrower interval, lower it to save time and memory.
    """

    abx_tokens: Annotated[int, Field(ge=2)] = 5
    """How many tokens of one phone a cell of ABX has at most.

    Unit: tokens.
    Change: keep it when you compare models.
    """

    seed: Natural = 0
    """Seed of the choice of utterances and of k-means.

    Change: keep it when you compare models.
    """
