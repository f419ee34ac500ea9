"""Specs of end-to-end neural diarizers: heads that find the speakers of a block, overlapped speech included."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, NonNegative, Positive, Probability, Spec

Ratio = Annotated[float, Field(ge=0, le=1)]
MOST_SPEAKERS = 15  # BUTSpeechFIT/EEND, models.py: max_n_speakers


class FrameEncoderSpec(Spec):
    """The self-attentive encoder below each of these heads: Transformer layers without positions."""

    width: Count = 256
    """Width of the encoder.

    Unit: channels.
    Source: Horiguchi et al. 2020, arXiv 2005.09921; Kinoshita et al. 2021, arXiv 2105.09040: 256.
    Change: smaller for a quick look.
    """

    layers: Count = 4
    """Transformer layers.

    Unit: layers.
    Source: EEND-EDA 4, EEND-vector clustering 6.
    Change: as the published recipe says.
    """

    attention_heads: Count = 4
    """Attention heads.

    Source: EEND-EDA 4, EEND-vector clustering 8.
    Change: a divisor of the width.
    """

    feed_forward: Count = 2048
    """Width of the feed-forward layers.

    Unit: channels.
    Source: BUTSpeechFIT/EEND, examples/train.yaml: encoder_units 2048.
    Change: smaller for a quick look.
    """

    dropout: Probability = 0.1
    """Share of the channels that are dropped while training.

    Source: BUTSpeechFIT/EEND, examples/train.yaml, 0.1.
    Change: 0 for a short training.
    """

    frame_ms: Literal[20, 40, 80, 100] = 100
    """Length of the frames in which activity is told. States are interpolated to them.

    Unit: milliseconds.
    Source: EEND-EDA 100; EEND-vector clustering on features of a model 40 (UniSpeech, downstreams/speaker_diarization).
    Change: shorter for exacter edges of turns, at more work.
    """

    @model_validator(mode="after")
    def _check_width(self) -> FrameEncoderSpec:
        if self.width % self.attention_heads:
            raise FieldError(f"{self.attention_heads} heads do not divide the width {self.width}", "attention_heads")
        return self


class EdaHead(Spec):
    """EEND-EDA: an LSTM reads all frames and writes one attractor per speaker, until none is left."""

    type: Literal["eend_eda"]
    """Selects this head (Horiguchi et al. 2020, arXiv 2005.09921)."""

    encoder: FrameEncoderSpec = FrameEncoderSpec()
    """The encoder of frames.

    Change: narrower for a quick look, or as the published recipe says.
    """

    max_speakers: Count = MOST_SPEAKERS
    """Attractors at most. A trained head rarely finds more speakers than it was trained on.

    Unit: speakers.
    Source: BUTSpeechFIT/EEND, 15.
    Change: lower it where you know that fewer speak.
    """

    existence_weight: NonNegative = 1.0
    """Weight of the loss that says how many attractors there are.

    Source: BUTSpeechFIT/EEND, examples/train.yaml: attractor_loss_ratio 1.0; 0.01 in Horiguchi et al. for adaptation.
    Change: smaller if activity is learned too slowly.
    """


class ChainHead(Spec):
    """SC-EEND: speakers are found one after another, each knowing the ones before it."""

    type: Literal["sc_eend"]
    """Selects this head (Fujita et al. 2020, arXiv 2006.01796)."""

    encoder: FrameEncoderSpec = FrameEncoderSpec()
    """The encoder of frames.

    Change: narrower for a quick look, or as the published recipe says.
    """

    max_speakers: Count = MOST_SPEAKERS
    """Speakers at most.

    Unit: speakers.
    Change: lower it where you know that fewer speak.
    """


class VectorHead(Spec):
    """EEND-vector clustering: a few speakers per block, each with an embedding by which blocks are put together."""

    type: Literal["eend_vc"]
    """Selects this head (Kinoshita et al. 2021, arXiv 2105.09040)."""

    encoder: FrameEncoderSpec = FrameEncoderSpec(layers=6, attention_heads=8, frame_ms=40)
    """The encoder of frames.

    Change: narrower for a quick look, or as the published recipe says.
    """

    local_speakers: Annotated[int, Field(ge=1, le=6)] = 3
    """Speakers of a block. Where more speak in a stretch of training, those who speak most are kept.

    Unit: speakers.
    Source: egs/callhome/v1 of the authors' code, 3.
    Change: to the most who speak within one block.
    """

    embedding: Count = 256
    """Width of an embedding.

    Unit: channels.
    Source: egs/callhome/v1 of the authors' code, 256.
    Change: smaller for few training speakers.
    """

    speaker_weight: Ratio = 0.03
    """Share r of the loss of embeddings; activity has 1 - r.

    Source: egs/callhome/v1 of the authors' code: 0.03, and 0.01 in adaptation.
    Change: as the published recipe says.
    """


class GlobalLocalHead(Spec):
    """EEND-EDA clustering: attractors of short stretches, clustered, beside those of the whole block."""

    type: Literal["eend_gla"]
    """Selects this head (Horiguchi et al. 2021, arXiv 2107.01545)."""

    encoder: FrameEncoderSpec = FrameEncoderSpec()
    """The encoder of frames.

    Change: narrower for a quick look, or as the published recipe says.
    """

    local_seconds: Positive = 5.0
    """Length of the stretches with attractors of their own.

    Unit: seconds.
    Source: Horiguchi et al. 2021: 50 frames of 100 ms.
    Change: longer where turns are long.
    """

    max_speakers: Count = MOST_SPEAKERS
    """Attractors of a stretch at most. A block may have any number of speakers.

    Unit: speakers.
    Change: lower it where you know that fewer speak within some seconds.
    """

    embedding: Count = 64
    """Width of the embeddings by which attractors are clustered.

    Unit: channels.
    Change: larger for many training speakers.
    """

    existence_weight: NonNegative = 1.0
    """Weight of the losses that say how many attractors there are.

    Source: as EEND-EDA.
    Change: smaller if activity is learned too slowly.
    """

    margin: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Embeddings of two speakers, which have length 1, are pushed apart up to this distance.

    Source: ours; the paper's contrastive loss has a margin, too.
    Change: larger for many speakers.
    """

    contrast_weight: NonNegative = 1.0
    """Weight of the loss of embeddings.

    Source: ours.
    Change: larger if speakers of different stretches are confused.
    """


EendHead: TypeAlias = EdaHead | ChainHead | VectorHead | GlobalLocalHead
