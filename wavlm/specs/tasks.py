"""Specs of tasks: what is predicted, by SUPERB's short names (Yang et al. 2021; Tsai et al. 2022).

`heads` names the heads that a task can have. A task is one class here and one module of `wavlm.evaluation.tasks`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from wavlm.specs.base import FieldError, Natural, Positive, Spec
from wavlm.specs.decoders import ArpaModel, LexiconDecoderSpec
from wavlm.specs.generation import SpeechEnhancement, SpeechSeparation, SpeechTranslation, VoiceConversion
from wavlm.specs.pairs import QueryByExample, SpeakerDiarization
from wavlm.specs.speakers import SpeakerVerification


def _check_letters(letters: str) -> str:
    if twice := sorted({letter for letter in letters if letters.count(letter) > 1}):
        raise ValueError(f"the letter {twice[0]!r} is there twice")
    return letters


Alphabet = Annotated[str, AfterValidator(_check_letters)]


class KeywordSpotting(Spec):
    """KS: which word of a small list a recording holds. Target: `class`. Score: accuracy."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["ks"]
    """Selects keyword spotting."""


class SpeakerIdentification(Spec):
    """SID: which of the known speakers speaks. Target: the speaker. Score: accuracy."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["sid"]
    """Selects speaker identification."""

    max_train_seconds: Positive = 8.0
    """Training takes the first so many seconds of a recording at most; dev and test are heard whole.

    Unit: seconds.
    Source: SUPERB takes random crops of 8 s. Here it is the beginning, so that the mean over time is computed once.
    Change: shorter to see what little speech is enough for.
    """


class IntentClassification(Spec):
    """IC: several classes at once, such as action, object and location. Target: `intent`. Score: all of them right."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["ic"]
    """Selects intent classification."""


class EmotionRecognition(Spec):
    """ER: which emotion is acted. Target: `class`. Score: accuracy."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["er"]
    """Selects emotion recognition."""


class SpecAugmentSpec(Spec):
    """SpecAugment on the weighted states while training; the defaults are those of SUPERB's recognition."""

    warp_frames: Natural = 5
    """A point of each utterance moves by at most so many frames. 0: none does.

    Unit: frames.
    Source: s3prl, downstream/asr/config.yaml.
    Change: 0 where time matters.
    """

    time_masks: Natural = 2
    """Stretches of frames that are set to 0.

    Source: s3prl, downstream/asr/config.yaml.
    Change: fewer for short utterances.
    """

    time_mask_frames: Natural = 40
    """Each of them is shorter than this.

    Unit: frames.
    Source: s3prl, downstream/asr/config.yaml.
    Change: lower it for short utterances: 40 frames are 0.8 s.
    """

    channel_masks: Natural = 4
    """Stretches of channels that are set to 0.

    Source: s3prl, downstream/asr/config.yaml.
    Change: fewer for narrow models.
    """

    channel_mask_channels: Natural = 50
    """Each of them is narrower than this.

    Unit: channels.
    Source: s3prl, downstream/asr/config.yaml.
    Change: lower it for narrow models: 50 of 768 channels are few, 50 of 64 nearly all.
    """


class PhonemeRecognition(Spec):
    """PR: the phones of a recording, by CTC. Target: `phones`, or timed phones of the corpus. Score: PER."""

    heads: ClassVar[tuple[str, ...]] = ("frame_linear", "blstm")

    type: Literal["pr"]
    """Selects phoneme recognition."""

    drop: tuple[str, ...] = ()
    """Phones that are left out of targets, such as silences.

    Change: to the names that the corpus has for silence.
    """


class WritesLetters(Spec):
    """What the tasks have in common that write the letters of a text."""

    letters: Literal["as_written", "lower", "upper"] = "as_written"
    """Whether letter case is changed before anything else.

    Source: SUPERB's Audio SNIPS is upper case.
    Change: where the corpus writes case without meaning.
    """

    augment: SpecAugmentSpec | None = None
    """SpecAugment while training. Not given: none.

    Change: give it (`{}` for the published values) where there are hours of speech.
    """


class WritesTexts(WritesLetters):
    """What the tasks have in common that write a text alone."""

    drop: str = ""
    """Characters that are left out of the texts, such as punctuation.

    Nothing else of a text is changed but its case, its spaces and its Unicode form, NFC.
    Change: where nobody speaks them.
    """

    alphabet: Alphabet = ""
    """Letters that texts may have, in the order of the head's classes. Empty: those of the training texts, sorted.

    A text with another letter is an error then. A space is added where the head closes words.
    Source: fairseq's letters of English, by how often they are: ` ETAONIHSRDLUMWCFGYPBVK'XJQZ`.
    Change: give it for systems that others load: their letters do not depend on the training texts.
    """

    decoder: LexiconDecoderSpec | None = None
    """Decodes the test part a second time, with a lexicon and a language model. Not given: greedy alone.

    Learning rates are chosen by the greedy result in any case, which is the first figure.
    Change: give it where words are separated by spaces, and other tables have a language model.
    """

    @property
    def language_model_file(self) -> ArpaModel | None:
        """The language model, if it is a file."""
        model = self.decoder.language_model if self.decoder else None
        return model if isinstance(model, ArpaModel) else None


class SpeechRecognition(WritesTexts):
    """ASR: the letters of a recording, by CTC. Target: the text. Score: WER, then CER."""

    heads: ClassVar[tuple[str, ...]] = ("blstm", "frame_linear", "ctc")

    type: Literal["asr"]
    """Selects speech recognition."""


class OtherRecognition(WritesTexts):
    """OOD-ASR: speech recognition in another language or style, one evaluation per language. Score: WER or CER."""

    heads: ClassVar[tuple[str, ...]] = ("blstm", "frame_linear", "ctc")

    type: Literal["ood_asr"]
    """Selects recognition out of domain."""

    score: Literal["wer", "cer"] = "wer"
    """What counts: words, or characters where words are not separated, as in Mandarin.

    Source: SUPERB-SG: CER for Mandarin, WER for the others.
    Change: cer for languages that do not separate words.
    """

    normalize_as: Literal["none", "es", "ar", "zh-CN"] = "none"
    """Texts are normalized as SUPERB-SG does those of Common Voice in this language.

    They are upper case in the Unicode form NFKC; a space stands for each punctuation mark but the apostrophe; Mandarin
    has no spaces. Recordings whose text has letters of other writing systems are left out, as there: Arabic and
    Mandarin with Latin letters, and a few more. How many is said in the results.
    Source: s3prl, downstream/ctc/corpus/common_voice_preprocess.py.
    Change: for corpora with the texts of Common Voice. Then `letters` and `drop` are left out.
    """

    every_20_ms: bool = False
    """True: of features with a frame every 10 ms, such as `fbank`, every second frame is taken.

    Source: s3prl, downstream/ctc/cv_config (`total_rate: 320`, `sample_style: drop`), unlike its recognition of
    LibriSpeech.
    Change: true to follow SUPERB-SG.
    """

    @model_validator(mode="after")
    def _check_rules(self) -> OtherRecognition:
        if self.normalize_as != "none" and (self.drop or self.letters != "as_written"):
            raise FieldError("the rules of normalize_as decide letters and marks: leave out letters and drop", "drop")
        return self


class SlotFilling(WritesLetters):
    """SF: the letters of a recording with marks around slot values, by CTC. Target: the text and `slots`.

    Score: F1 of slot types, then CER of slot values.
    """

    heads: ClassVar[tuple[str, ...]] = ("blstm", "frame_linear")

    type: Literal["sf"]
    """Selects slot filling."""


TaskSpec = Annotated[
    KeywordSpotting
    | SpeakerIdentification
    | IntentClassification
    | EmotionRecognition
    | PhonemeRecognition
    | SpeechRecognition
    | OtherRecognition
    | SlotFilling
    | SpeakerVerification
    | QueryByExample
    | SpeakerDiarization
    | SpeechEnhancement
    | SpeechSeparation
    | SpeechTranslation
    | VoiceConversion,
    Field(discriminator="type"),
]
