"""Specs of heads: the small networks that a task trains on the hidden states of a frozen model.

Defaults are the published ones of SUPERB (Yang et al. 2021, Interspeech, arXiv 2105.01051; widths as in s3prl).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Probability, Spec
from wavlm.specs.eend import ChainHead, EdaHead, GlobalLocalHead, VectorHead
from wavlm.specs.separation import SeparatorHead
from wavlm.specs.speakers import EcapaHead


class PooledLinearHead(Spec):
    """Weighted sum of the layers, a linear projection, the mean over time, a linear classifier."""

    type: Literal["pooled_linear"]
    """Selects this head. Nothing in it bends before the mean, so it is trained on the means of whole utterances."""

    projection: Count = 256
    """Width of the projection.

    Unit: channels.
    Source: SUPERB, 256.
    Change: smaller for a quick look; figures of other widths are no SUPERB figures.
    """


class FrameLinearHead(Spec):
    """Weighted sum, a linear projection, a linear classifier of each frame; trained with CTC."""

    type: Literal["frame_linear"]
    """Selects this head."""

    projection: Count = 256
    """Width of the projection.

    Unit: channels.
    Source: SUPERB's phoneme recognition, 256.
    Change: smaller for a quick look.
    """


class BlstmHead(Spec):
    """Weighted sum, a projection, bidirectional LSTMs, a linear classifier of each frame; trained with CTC."""

    type: Literal["blstm"]
    """Selects this head."""

    projection: Count = 1024
    """Width of the projection before the LSTMs.

    Unit: channels.
    Source: SUPERB's recognition, 1024.
    Change: smaller for a quick look.
    """

    hidden: Count = 1024
    """Width of each LSTM, per direction.

    Unit: channels.
    Source: SUPERB's recognition, 1024.
    Change: smaller for a quick look.
    """

    layers: Count = 2
    """Number of LSTMs on top of each other.

    Unit: layers.
    Source: SUPERB's recognition, 2.
    Change: fewer for a quick look.
    """

    dropout: Probability = 0.2
    """Share of the channels that are dropped between the LSTMs while training.

    Unit: fraction, 0 to 1.
    Source: SUPERB's recognition, 0.2.
    Change: 0 where there is so much speech that nothing is learned by heart.
    """

    tanh_projections: bool = False
    """True: a linear layer of the same width and tanh follow each LSTM.

    Source: s3prl, downstream/ctc/cv_config and sbcsae.yaml (`proj`): SUPERB's recognition out of domain has them, its
    recognition of LibriSpeech and its slot filling have not.
    Change: true to follow SUPERB-SG.
    """


class CtcHead(Spec):
    """Dropout and one linear layer on the network's output, with CTC: what fine-tuning puts on top of a network."""

    type: Literal["ctc"]
    """Selects this head. It takes the last state alone, so it is for networks that are trained with it."""

    dropout: Probability = 0.0
    """Share of the channels that are dropped while training.

    Unit: fraction, 0 to 1.
    Source: fairseq's fine-tuning, `final_dropout`: 0.
    Change: 0.1 for little speech.
    """

    closes_words: bool = True
    """True: a space stands behind the last word, too, when the head is trained.

    Source: fairseq's letters, where `|` ends each word.
    Change: false for texts without spaces.
    """


class XvectorHead(Spec):
    """Weighted sum, a projection, five time-delay layers, statistics over time, an embedding; with AM-softmax."""

    type: Literal["xvector"]
    """Selects this head."""

    width: Count = 512
    """Width of the projection, of the time-delay layers and of the embedding; the fifth layer has 1500 / 512 of it.

    Unit: channels.
    Source: Snyder et al. 2018, x-vectors; SUPERB's speaker verification.
    Change: smaller for a quick look.
    """

    scale: Annotated[float, Field(gt=0)] = 30.0
    """Scale of the cosines in AM-softmax.

    Source: SUPERB, 30; Wang et al. 2018, arXiv 1801.05599.
    Change: with the margin, as another recipe says.
    """

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Margin that is subtracted from the cosine of the right speaker.

    Source: SUPERB, 0.4.
    Change: smaller for few speakers.
    """


class DiarizerHead(Spec):
    """Weighted sum, an LSTM, a linear layer with one output per speaker and frame; trained over permutations."""

    type: Literal["diarizer"]
    """Selects this head."""

    hidden: Count = 512
    """Width of the LSTM.

    Unit: channels.
    Source: SUPERB's diarization, 512.
    Change: smaller for a quick look.
    """


class MaskHead(Spec):
    """Weighted sum, bidirectional LSTMs, masks of a spectrum; trained to the phase-sensitive mask."""

    type: Literal["mask"]
    """Selects this head."""

    hidden: Count = 896
    """Width of each LSTM, per direction.

    Unit: channels.
    Source: SUPERB-SG (Tsai et al. 2022, arXiv 2203.06849), 896.
    Change: smaller for a quick look.
    """

    layers: Count = 3
    """Number of LSTMs on top of each other.

    Unit: layers.
    Source: SUPERB-SG, 3.
    Change: fewer for a quick look.
    """

    dropout: Probability = 0.5
    """Share of the channels that are dropped between the LSTMs while training.

    Unit: fraction, 0 to 1.
    Source: SUPERB-SG, 0.5.
    Change: smaller for a narrow head.
    """


class TranslatorHead(Spec):
    """Weighted sum, a Transformer encoder and decoder that writes the characters of the translation."""

    type: Literal["translator"]
    """Selects this head."""

    width: Count = 512
    """Width of encoder and decoder.

    Unit: channels.
    Source: fairseq's s2t_transformer, which SUPERB-SG's speech translation uses: 512.
    Change: smaller for a quick look.
    """

    layers: Count = 3
    """Layers of the encoder, and of the decoder.

    Unit: layers.
    Source: SUPERB-SG, 3 and 3.
    Change: fewer for a quick look.
    """

    heads: Count = 8
    """Attention heads, which divide the width.

    Source: fairseq's s2t_transformer, 8.
    Change: to a divisor of the width.
    """

    dropout: Probability = 0.1
    """Share of the channels that are dropped while training.

    Unit: fraction, 0 to 1.
    Change: larger where there is little speech.
    """

    @model_validator(mode="after")
    def _check_width(self) -> TranslatorHead:
        if self.width % self.heads:
            raise FieldError(f"{self.heads} heads do not divide the width {self.width}", "heads")
        return self


class ConverterHead(Spec):
    """Weighted sum, an encoder, an autoregressive decoder that writes the mel spectrum of one target speaker."""

    type: Literal["converter"]
    """Selects this head."""

    hidden: Count = 1024
    """Width of the decoder's LSTMs. The encoder has half of it, the layers before the decoder a quarter.

    Unit: channels.
    Source: SUPERB-SG's voice conversion (Taco2-AR), 1024.
    Change: smaller for a quick look.
    """


class NoHead(Spec):
    """No head: the task compares the features themselves, and the best layer is chosen on the dev part."""

    type: Literal["none"]
    """Selects that nothing is trained."""


HeadSpec = Annotated[
    PooledLinearHead
    | FrameLinearHead
    | BlstmHead
    | CtcHead
    | XvectorHead
    | EcapaHead
    | DiarizerHead
    | EdaHead
    | ChainHead
    | VectorHead
    | GlobalLocalHead
    | MaskHead
    | SeparatorHead
    | TranslatorHead
    | ConverterHead
    | NoHead,
    Field(discriminator="type"),
]
