"""Specs of layouts of SUPERB's other corpora: recognition, translation, enhancement, separation, conversion."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from wavlm.specs.base import FieldError, Positive, Probability, Spec
from wavlm.specs.paths import Below, Glob


class CommonVoiceLayout(Spec):
    """Common Voice, one language: `clips`, and `train.tsv`, `dev.tsv` and `test.tsv`, which are the partitions."""

    type: Literal["common-voice"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    root: Below = ""
    """Folder below the source that holds `clips`. Empty: the source itself.

    Change: such as `cv-corpus-7.0-2021-07-21/es`.
    """

    accent: str = ""
    """Only rows of this accent are used. Empty: all.

    Source: SUPERB takes `mexicano` of Spanish (`s3prl/downstream/ctc/corpus/common_voice_preprocess.py`).
    Change: give it to score one accent.
    """

    accent_column: str = "accent"
    """Column that names the accent. Read where there is an `accent`.

    Change: `accents`, of releases from 8.0 on.
    """

    max_left_over_rows: Probability = 0.0
    """How many rows may name audio that is not there. More are an error.

    Unit: fraction of the rows.
    Change: raise it to try a part of the corpus.
    """


class SbcsaeLayout(Spec):
    """The Santa Barbara Corpus of Spoken American English: conversations, and `SBC<n>.trn` with times and speakers.

    Utterances are regions of their conversation. Left out are those that overlap others, and those whose text has marks
    of overlap or doubt. Partitions: conversations 1 to 46 `train`, 47 to 53 `dev`, 54 to 60 `test`.
    """

    type: Literal["sbcsae"]
    """Selects this layout."""

    audio: Glob = "**/*.*"
    """Glob of the conversations: `SBC001.wav`, or `01.mp3` as the university has them.

    Change: to `WAV/*.wav`, if a copy holds each of them twice.
    """

    trn: Glob = "**/SBC*.trn"
    """Glob of the transcripts.

    Change: to read some conversations.
    """

    min_seconds: Positive = 0.1
    """Shorter utterances are left out.

    Unit: seconds.
    Source: the script that SUPERB names, `vectominist/SBCSAE-preprocess`; so are partitions and rules for texts.
    Change: only together with `max_seconds`, for other experiments.
    """

    max_seconds: Positive = 15.0
    """Longer utterances are left out.

    Unit: seconds.
    Source: as `min_seconds`.
    Change: only together with `min_seconds`.
    """

    @model_validator(mode="after")
    def _check_lengths(self) -> SbcsaeLayout:
        if self.min_seconds >= self.max_seconds:
            raise FieldError("expected more than min_seconds", "max_seconds")
        return self


class CovostLayout(Spec):
    """CoVoST 2: `covost_v2.<source>_<target>.tsv` beside `validated.tsv` and `clips` of Common Voice 4."""

    type: Literal["covost"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    translations: Below
    """The publisher's table of translations, a path below the source, such as `covost_v2.en_de.tsv`."""

    root: Below = ""
    """Folder of Common Voice below the source, with `clips` and `validated.tsv`. Empty: the source itself.

    Change: such as `cv-corpus-4-2019-12-10/en`.
    """

    max_left_over_rows: Probability = 0.01
    """How many rows may name audio that is not there, or no row of `validated.tsv`. More are an error.

    The publisher's script leaves out what `validated.tsv` does not have.
    Unit: fraction of the rows.
    Change: raise it to try a part of the corpus.
    """


class VoicebankLayout(Spec):
    """VoiceBank-DEMAND: `{clean,noisy}_trainset_28spk_wav` and `{clean,noisy}_testset_wav`.

    Names of the folders may end in `_16k`. A noisy recording names its clean one. Partitions are `train`, `dev` (two
    speakers of the training set) and `test`.
    """

    type: Literal["voicebank"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds the four folders. Empty: the source itself.

    Change: when the archives were unpacked into a folder of a larger copy.
    """

    dev_speakers: tuple[str, ...] = ("p226", "p287")
    """Speakers of the training set that are the partition `dev`.

    Source: `s3prl/downstream/enhancement_stft/scripts/Voicebank/data_prepare.py`.
    Change: to select on other speakers.
    """


class LibrimixLayout(Spec):
    """LibriMix as its scripts leave it: `<part>/<mixture>/<id>.wav` and the sources in `<part>/s1`, `<part>/s2`.

    A mixture names its sources. Partitions are the folders, such as `train-100`, `dev` and `test`.
    """

    type: Literal["librimix"]
    """Selects this layout."""

    root: Below = "Libri2Mix/wav16k/min"
    """Folder below the source that holds the parts and `metadata`.

    Change: to `Libri2Mix/wav16k/max` for diarization, which SUPERB does on whole utterances.
    """

    mixture: Literal["mix_clean", "mix_both", "mix_single"] = "mix_clean"
    """Which mixtures are read: of voices alone, of voices and noise, or of one voice and noise.

    Source: SUPERB separates `mix_clean` and diarizes `mix_both`.
    Change: `mix_both` for diarization.
    """

    rttm: tuple[Glob, ...] = ()
    """RTTM files of LibriSpeech, of which the turns of a mixture are made, as paths or globs below the source.

    Source: `metadata/LibriSpeech/*.rttm` of `s3prl/LibriMix`, which name an utterance `<chapter>-<number>`.
    Change: give them for diarization.
    """


class Vcc2020Layout(Spec):
    """Voice Conversion Challenge 2020: `<speaker>/<sentence>.wav` in the publisher's archives, texts in `.txt` files.

    Partitions are `train`, `dev` and `test` of SUPERB's lists; other sentences have the partition `reference`.
    """

    type: Literal["vcc2020"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds what the archives hold. Empty: the source itself.

    Change: when it lies in a folder of a larger copy.
    """


OfSuperbGeneration = CommonVoiceLayout | SbcsaeLayout | CovostLayout | VoicebankLayout | LibrimixLayout | Vcc2020Layout
