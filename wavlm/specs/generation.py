"""Specs of the tasks that make something: enhanced and separated speech, and translations.

Published settings are those of SUPERB-SG (Tsai et al. 2022, arXiv 2203.06849; configurations as in s3prl).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Natural, Probability, Spec

Decibels = Annotated[float, Field(ge=-60, le=60)]


class NoiseMixSpec(Spec):
    """Noise that is added to clean speech: of each utterance one stretch of one recording of the noise corpora.

    Noise recordings are divided among train, dev and test (60, 20 and 20 %), so no noise of the test part is known.
    """

    snr_db: tuple[Decibels, Decibels] = (0.0, 15.0)
    """Lowest and highest level of the speech above the noise; drawn evenly between them for each utterance.

    Unit: dB, of the mean power of the whole utterance.
    Source: VoiceBank-DEMAND's training set has 0, 5, 10 and 15 dB (Valentini-Botinhao et al. 2016).
    Change: lower for a harder task.
    """

    seed: Natural = 0
    """Seed of the draws of noise and level.

    Change: to repeat an experiment with other noise.
    """

    @model_validator(mode="after")
    def _check_range(self) -> NoiseMixSpec:
        _check_order(self.snr_db, "snr_db")
        return self


class VoiceMixSpec(Spec):
    """Mixtures of two voices: each utterance with one of another speaker of the same set."""

    ratio_db: tuple[Decibels, Decibels] = (-5.0, 5.0)
    """Lowest and highest level of the first voice above the second; drawn evenly between them for each mixture.

    Unit: dB, of the mean power of the mixture.
    Source: Hershey et al. 2016 mix wsj0-2mix at 0 to 5 dB, each voice may be the louder.
    Change: 0 and 0 for voices that are equally loud.
    """

    overlap: tuple[Probability, Probability] = (1.0, 1.0)
    """Least and most of the shorter utterance that both speak at once; drawn evenly between them for each mixture.

    With 1 both begin together, and the mixture is as long as the shorter. With less the second one begins later, and
    both are heard to their ends.
    Unit: share of the shorter utterance.
    Source: mixtures of wsj0-2mix overlap throughout; meetings do not.
    Change: 0 and 1 to train for continuous separation, where mostly one speaks.
    """

    seed: Natural = 0
    """Seed of the draws of pairs and levels.

    Change: to repeat an experiment with other pairs.
    """

    @model_validator(mode="after")
    def _check_range(self) -> VoiceMixSpec:
        _check_order(self.ratio_db, "ratio_db")
        _check_order(self.overlap, "overlap")
        return self


class SpeechEnhancement(Spec):
    """SE: the clean speech in noise, by a mask. Target: `clean`, or none where we mix. Score: PESQ, STOI, SI-SDRi."""

    heads: ClassVar[tuple[str, ...]] = ("mask",)

    type: Literal["se"]
    """Selects speech enhancement."""

    mix: NoiseMixSpec | None = None
    """How noise is added to the recordings. Not given: they are noisy already, and their targets name clean ones.

    Change: give it (`{}` for the defaults) for corpora of clean speech, and name noise.
    """


class SpeechSeparation(Spec):
    """SS: both voices of a mixture, by masks. Target: `sources`, or none where we mix. Score: SI-SDRi."""

    heads: ClassVar[tuple[str, ...]] = ("mask", "conformer")

    type: Literal["ss"]
    """Selects speech separation."""

    mix: VoiceMixSpec | None = None
    """How voices are mixed. Not given: recordings are mixtures already, and their targets name the sources.

    Change: give it (`{}` for the defaults) for corpora of single voices.
    """


class SpeechTranslation(Spec):
    """ST: the text in another language, character by character. Target: `translation`. Score: BLEU."""

    heads: ClassVar[tuple[str, ...]] = ("translator",)

    type: Literal["st"]
    """Selects speech translation."""

    letters: Literal["as_written", "lower"] = "as_written"
    """Whether letter case is changed, in the references too. BLEU of lower case is another figure than published ones.

    Change: lower where there is little speech.
    """

    smoothing: Probability = 0.1
    """Label smoothing of the loss.

    Unit: fraction of the probability that is spread over the other symbols.
    Source: s3prl, downstream/speech_translation/config.yaml.
    Change: 0 for a plain cross entropy.
    """

    beam: Count = 20
    """Hypotheses that are kept while a translation is written. 1: the likeliest symbol each time.

    Source: s3prl, downstream/speech_translation/config.yaml.
    Change: 1 to save time.
    """

    max_symbols: Count = 400
    """A translation ends after so many symbols at most. How many were cut is said in the results.

    Unit: characters.
    Source: s3prl, downstream/speech_translation/config.yaml: max_len_b.
    Change: longer for long sentences. Training targets that are longer are refused.
    """

    untranslated: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of recordings without a translation. How many were left out is said in the results.

    Change: leave_out where the publisher translated most of a corpus.
    """


class VoiceConversion(Spec):
    """VC: the mel spectra of one speaker from the speech of any other. Score: mel-cepstral distortion, lower is better.

    The head is trained on the speaker's own recordings. Others' recordings are scored against the same words, or the
    same sentence, of the speaker. No vocoder is part of it, so the distortion is that of mel spectra.
    """

    heads: ClassVar[tuple[str, ...]] = ("converter",)

    type: Literal["vc"]
    """Selects voice conversion."""

    speaker: str
    """The speaker whose voice is learned, as the corpus names it.

    Source: SUPERB-SG has TEF1, TEF2, TEM1 and TEM2 of VCC2020, one evaluation each.
    """

    seed: Natural = 0
    """Seed of the draw of words for train, dev and test, where the corpus has no parts.

    Change: to repeat an experiment with other words.
    """


def _check_order(pair: tuple[float, float], name: str) -> None:
    if pair[0] > pair[1]:
        raise FieldError(f"lowest {pair[0]:g} is above highest {pair[1]:g}", name)
