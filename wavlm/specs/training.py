"""Training specs: masking, learning rate, batch, loss weights and precision."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from wavlm.specs.base import Count, FieldError, Natural, NonNegative, Positive, Probability, Spec
from wavlm.specs.objectives import Contrastive, MaskedPrediction, Objective, QuantizerSpec
from wavlm.specs.sampling import SamplingSpec


class MaskSpec(Spec):
    """Masking of spans of frames (docs/algorithm.md 6)."""

    probability: Probability = 0.8
    """Number of span starts times the length of a span, relative to the frames. Spans may overlap.

    Unit: fraction, 0 to 1. 0.8 masks about 0.57 of the frames, because spans overlap.
    Source: docs/algorithm.md 6.
    Change: rarely in pre-training.
    """

    length: Count = 10
    """Length of a span.

    Unit: frames, mostly of 20 ms.
    Source: docs/algorithm.md 6.
    Change: rarely in pre-training.
    """

    min_spans: Natural = 2
    """Every crop gets at least this many spans.

    Unit: spans.
    Source: docs/algorithm.md 6.
    Change: rarely; it matters only for crops below about 25 frames.
    """

    equalise: bool = False
    """True: in a micro-batch all rows are cut to the masked frames of the row that has fewest, as in fairseq.

    Source: docs/algorithm.md 6: it lowers the masked fraction from about 0.57 to 0.53.
    Change: true only to compare with the reference.
    """


class TrainSpec(Spec):
    """Objective and optimisation (docs/algorithm.md 7, 9, 10). Seconds are seconds of audio.

    One update has batch_seconds / group_seconds micro-batches. A micro-batch is what the paper calls a GPU's
    batch: its utterances are cropped to the shortest and mix with each other. Runtime decides which GPU computes
    which micro-batch. That changes nothing but the order of sums.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"valid_every", "log_every"})

    objective: Objective = MaskedPrediction(type="masked_prediction")
    """What the network is trained to do: `{type: masked_prediction}`, or `{type: contrastive}` as in wav2vec 2.0.

    Source: docs/algorithm.md 9.
    Change: contrastive to train wav2vec 2.0, which needs no labels.
    """

    updates: Count
    """Number of optimizer updates.

    Source: docs/algorithm.md 10: 250,000 and 400,000 for HuBERT Base, 400,000 for WavLM Base, 700,000 for Large.
    Change: with hours and time: updates x `batch_seconds` / 3600 are the hours of audio that training uses.
    """

    warmup_updates: Natural
    """Updates in which the learning rate rises from 0 to `peak_lr`. Afterwards it falls to 0 at the last update.

    Unit: updates.
    Source: docs/algorithm.md 10: 8 % of the updates in HuBERT.
    Change: together with `updates` (5 % in the demo).
    """

    peak_lr: Positive
    """Largest learning rate of AdamW.

    Source: docs/algorithm.md 10: 5e-4 for Base, 1.5e-3 for Large.
    Change: larger for small networks (2e-3 in the demo), lower when the loss becomes unstable.
    """

    batch_seconds: Positive
    """Audio of one update, over all GPUs.

    Unit: seconds of audio.
    Source: docs/algorithm.md 10: 2800 s for Base, 7200 s for Large (contradiction C3).
    Change: a multiple of `group_seconds`. Smaller batches give more updates for the same audio.
    """

    group_seconds: Positive
    """Audio of one micro-batch: what one GPU computes at once.

    Unit: seconds of audio.
    Source: docs/algorithm.md 7: 87.5 s for Base, 56.25 s for Large.
    Change: to what fits into the memory of your GPU. It is part of the model's key, because utterances of one
    micro-batch are cropped and mixed together.
    """

    max_crop_seconds: Positive = 15.625
    """Longer utterances are cropped to this length, at a new random position in every epoch.

    Unit: seconds.
    Source: docs/algorithm.md 7: 250,000 samples.
    Change: shorter to save time and memory (3.0 in the demo).
    """

    crop_frames_multiple: Count = 1
    """The length of every crop is a multiple of this many frames.

    Then batches have few shapes, and each shape is compiled once: with 32 about 23 shapes instead of 390 for 960 h of
    read speech. An epoch then uses 97.5 % of the audio instead of 99 %, another part each time.
    Unit: frames, mostly of 20 ms.
    Change: 32 when you train with --compile, as the paper's recipes do.
    """

    sampling: SamplingSpec | None = None
    """How often speech of each corpus and language is taken. Not given: every utterance once per epoch.

    An epoch then takes as much audio as there is. An utterance that should be taken w times per epoch is taken floor(w)
    or ceil(w) times in each, and floor(n w) or ceil(n w) times in the first n epochs, each time with another crop, mask
    and mix.
    Source: arXiv 2111.09296, arXiv 2406.06371.
    Change: when some languages or corpora have far more hours than others: `{languages: {alpha: 0.7}}`.
    """

    adam_betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Decay of the two moments of AdamW.

    Source: docs/algorithm.md 10.
    Change: rarely.
    """

    adam_eps: Positive = 1e-6
    """Epsilon of AdamW.

    Source: docs/algorithm.md 10.
    Change: rarely.
    """

    weight_decay: NonNegative = 0.01
    """Decoupled weight decay of AdamW, on all parameters.

    Source: docs/algorithm.md 10.
    Change: rarely.
    """

    clip_norm: Positive | None = 10.0
    """Gradients with a larger norm are scaled down to this norm; `null`: they never are.

    Source: docs/algorithm.md 9: 10 for Base, 1 for Large; none in wav2vec 2.0.
    Change: lower it when single updates throw the training back (1.2 in the demo).
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number type of matrix products. Weights and their updates stay fp32.

    Source: docs/algorithm.md 10: the paper used fp16 with a dynamic loss scale.
    Change: bf16 on a GPU that supports it (no loss scale needed), fp16 on older GPUs, fp32 on a CPU.
    """

    mask: MaskSpec = MaskSpec()
    """How frames are masked.

    Source: docs/algorithm.md 6.
    Change: rarely in pre-training.
    """

    logit_temperature: Positive = 0.1
    """Cosines between prediction and cluster embeddings are divided by this number.

    Source: docs/algorithm.md 9.
    Change: rarely.
    """

    masked_weight: NonNegative = 1.0
    """Weight of the loss on masked frames.

    The loss is divided by the number of frames whose weight is above 0: masked ones, unmasked ones, or both.
    Source: docs/algorithm.md 9.
    Change: rarely. 0 and an `unmasked_weight` above 0: masked frames do not count at all.
    """

    unmasked_weight: NonNegative = 0.0
    """Weight of the loss on the other frames.

    Source: docs/algorithm.md 9: 0.
    Change: 1 for short trainings: with 0 the loss stays on a plateau for hundreds of updates (docs/log.md).
    """

    feature_penalty: NonNegative = 10.0
    """Weight of the mean square of the feature encoder's output in the loss, per frame that the loss counts.

    Source: docs/algorithm.md 9.
    Change: about 0.6 for short trainings: small networks then learn faster (docs/log.md).
    """

    valid_every: Count = 1000
    """Validation runs after every so many updates, and after the last one. No part of the key: the model is the same.

    Unit: updates.
    Change: so that validation takes a small part of the time (400 in the demo, 5000 in wavlm-base).
    """

    log_every: Count = 50
    """Training metrics are written after every so many updates. No part of the key: the model is the same.

    Unit: updates.
    Change: larger for long trainings (200 in wavlm-base).
    """

    window_shards: Natural = 0
    """An epoch goes through the data in windows of the size of so many shards, each in random order. 0: one window.

    A window has a part of each of 32 times as many shards, other ones in each epoch. Corpora of fewer shards are one
    window, as with 0.
    Unit: shards of about 512 MB.
    Change: 128 for corpora that do not fit into the memory or onto a local disk of the machines that train: then all
    is read in sequence once per epoch, to the folder of --scratch.
    """

    seed: Natural = 0
    """Seed of initial weights, order, crops, masks, mixing and dropout.

    Source: docs/algorithm.md 10: 1337 in fairseq.
    Change: to repeat an experiment with other random choices.
    """

    @property
    def micro_batches_per_update(self) -> int:
        """How many micro-batches one update has, over all GPUs."""
        return max(1, round(self.batch_seconds / self.group_seconds))

    @property
    def quantizer(self) -> QuantizerSpec | None:
        """The quantiser of the targets; None if they are labels."""
        return self.objective.quantizer if isinstance(self.objective, Contrastive) else None

    @property
    def min_crop_frames(self) -> int:
        """Frames that every crop needs, so that its spans can start at different frames."""
        return self.mask.length + max(self.mask.min_spans, 1) + 1

    @model_validator(mode="after")
    def _check_consistent(self) -> TrainSpec:
        if self.warmup_updates > self.updates:
            raise FieldError(f"warmup_updates {self.warmup_updates} is above updates {self.updates}", "warmup_updates")
        if self.group_seconds > self.batch_seconds:
            raise FieldError(
                f"group_seconds {self.group_seconds} is above batch_seconds {self.batch_seconds}", "group_seconds"
            )
        if not self.masked_weight and not self.unmasked_weight:
            raise FieldError(
                "masked_weight and unmasked_weight are both 0: the loss would count no frame", "masked_weight"
            )
        if isinstance(self.objective, Contrastive):
            self._check_contrastive()
        return self

    def _check_contrastive(self) -> None:
        """Check that every masked frame has another one to be told from, and that no weight would do nothing."""
        if self.mask.length < 2 or self.mask.min_spans < 1:
            raise FieldError(
                f"spans of {self.mask.length} frames, {self.mask.min_spans} or more: a contrastive objective needs two "
                "masked frames in every crop, so a length of 2 and one span or more",
                *("mask", "length" if self.mask.length < 2 else "min_spans"),
            )
        for name, value, wanted in (
            ("masked_weight", self.masked_weight, 1.0),
            ("unmasked_weight", self.unmasked_weight, 0.0),
        ):
            if value != wanted:
                raise FieldError(f"{name} belongs to masked prediction; found {value}, leave it out", name)
