"""Specs of where labels come from: k-means, random projections, several codebooks that add up, or a file of others."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from wavlm.specs.base import Count, Positive, Sha256, Spec
from wavlm.specs.features import Features, HiddenFeatures, LogMelFeatures, MfccFeatures
from wavlm.specs.labelling import CodebookSpec, SampledSpec

MOST_STREAMS = 64
NumStreams = Annotated[int, Field(ge=1, le=MOST_STREAMS)]
NumClasses = Annotated[int, Field(ge=2, le=65535)]


def _keep_whole(rate_hz: float) -> float:
    return int(rate_hz) if float(rate_hz).is_integer() else rate_hz


# 75.0 is 75: equal rates have equal keys.
RateHz = Annotated[Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0)], AfterValidator(_keep_whole)]


class RandomProjectionSpec(SampledSpec):
    """Random projections (BEST-RQ): a label is the number of the random vector that is nearest to a projected frame.

    Nothing is trained. Only the mean and the variance of the features are measured, on a sample.
    """

    type: Literal["random_projection"]
    """Selects random projections, which need no model, no k-means and little time.

    Source: arXiv 2202.01855. At 50 Hz their 8192 classes hold less phone information than 100 k-means classes, and the
    seed matters (docs/labels.md).
    Change: to have labels at once, as a baseline; `kmeans` for the best labels of the first iteration.
    """

    features: LogMelFeatures = LogMelFeatures(type="log_mel")
    """What is projected.

    Source: arXiv 2202.01855: 80 log mel energies, with mean 0 and variance 1.
    Change: `stack_frames`, for labels that see more or less of the speech.
    """

    num_clusters: NumClasses = 8192
    """Number of random vectors, which is that of classes. Many of them are nearest to no frame.

    Source: arXiv 2202.01855.
    Change: lower it to save memory in the head: 512 classes held nearly as much phone information in a small trial.
    """

    num_streams: NumStreams = 1
    """Number of projections, each with random vectors of its own. Each gives a label per frame, and has its own head.

    Source: arXiv 2501.16131 gains from several; arXiv 2202.01855 has one.
    Change: to several for targets that depend less on chance.
    """

    width: Count = 16
    """Number of dimensions that a frame is projected to.

    Source: arXiv 2202.01855.
    Change: rarely.
    """

    sample_frames: Count = 200_000
    """Size of the sample that mean and variance are measured on.

    Unit: frames.
    Change: lower it where there is little speech.
    """


class MultiCodebookSpec(SampledSpec):
    """Several codebooks that add up (MVQ): a frame is about the sum of one centre of each, and has a label of each."""

    type: Literal["multi_codebook"]
    """Selects several codebooks, which keep more of a hidden layer than one.

    Source: SPEAR, arXiv 2510.25955; `k2-fsa/multi_quantization`.
    Change: to train on the labels of a large released model.
    """

    features: Features
    """What is quantised: a hidden layer of a model, of the iteration before or of one of `models`.

    Source: icefall takes layer 36 of HuBERT XL, SPEAR layer 21 of HuBERT Large.
    Change: to the layer with the best scores.
    """

    num_clusters: Annotated[int, Field(ge=2, le=4096)] = 256
    """Number of centres of each codebook.

    Source: `k2-fsa/multi_quantization`.
    Change: rarely: one more codebook is cheaper than twice as many centres.
    """

    num_streams: NumStreams = 8
    """Number of codebooks. Each gives a label per frame, and has its own head.

    Source: icefall takes 8, SPEAR 16.
    Change: fewer for a small network or a small teacher. `codebook.json` lists the error with each number of them.
    """

    sample_frames: Count = 100_000
    """Size of the sample that the centres are fitted on.

    Unit: frames.
    Change: raise it with the number of centres and codebooks.
    """

    iterations: Count = 15
    """Rounds of fitting: encode every frame anew, then solve for all centres at once.

    Change: rarely. `codebook.json` lists the error of every round: raise it if the last rounds still improve it.
    """


class ExternalLabelsSpec(Spec):
    """Labels that others made: codes of a codec, phones of an aligner, clusters of another program; by utterance."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"file"})

    features: ClassVar[None] = None
    speech: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[tuple[Positive, ...]] = ()
    sampling: ClassVar[None] = None
    refit: ClassVar[Literal["never"]] = "never"

    type: Literal["external"]
    """Selects a file of labels. It is checked for missing keys, for the number of frames and for the range.

    Source: MERT predicts codes of EnCodec (arXiv 2306.00107), SpeechLM phones (arXiv 2209.15329).
    Change: to train on labels that this pipeline does not make.
    """

    file: str
    """Path of a `.parquet` file with columns `key` and `labels`, or of a `.npz` file with an array per key.

    A relative path starts at the folder of the recipe.
    Source: docs/labels.md describes both.
    Change: when the file has moved. The key of the model stays the same.
    """

    sha256: Sha256
    """SHA-256 of the file, in hex.

    Change: together with the file. This makes other labels.
    """

    num_clusters: NumClasses
    """Number of classes. Labels are 0 to one less. Of several streams, that of the one with most classes.

    Change: to what the file says.
    """

    num_streams: NumStreams = 1
    """Number of labels per frame: 1, or the width of the arrays.

    Change: to what the file says.
    """

    rate_hz: RateHz = 50
    """Labels per second: one or two per frame of the network. There is one for each whole window of a frame.

    Unit: Hz.
    Change: 100 for labels every 10 ms; every second one is then predicted. 75 or 150 for a network with 75 frames per
    second.
    """


FittedSource = CodebookSpec | RandomProjectionSpec | MultiCodebookSpec  # on a sample of frames


def _type_of(source: object) -> object:
    """k-means came first: its specs, and the keys that are made of them, do not say what they are."""
    return source.get("type", "kmeans") if isinstance(source, dict) else getattr(source, "type", None)


LabelSource = Annotated[
    Annotated[CodebookSpec, Tag("kmeans")]
    | Annotated[RandomProjectionSpec, Tag("random_projection")]
    | Annotated[MultiCodebookSpec, Tag("multi_codebook")]
    | Annotated[ExternalLabelsSpec, Tag("external")],
    Discriminator(_type_of),
]


def hidden_features(source: LabelSource) -> HiddenFeatures | None:
    """The hidden layer that labels are made of; None if no model is needed for them."""
    return source.features if isinstance(source.features, HiddenFeatures) else None


def name_features(source: LabelSource) -> str:
    """What labels are made of, in words: `MFCC`, `layer 9`, `log mel` or `a file`."""
    match source.features:
        case None:
            return "a file"
        case HiddenFeatures(layer=layer):
            return f"layer {layer}"
        case MfccFeatures():
            return "MFCC"
        case _:
            return "log mel"
