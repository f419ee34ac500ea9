"""Specs of decoders: how letters become words with a lexicon and an n-gram language model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wavlm.specs.base import Count, Positive, Sha256, Spec


class ArpaModel(Spec):
    """A language model that somebody made: an ARPA file, or a binary file of KenLM."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"path", "words"})

    type: Literal["arpa"]
    """Selects a file."""

    path: str
    """The file: ARPA as text or packed by gzip, or a binary file of KenLM. `~` is the home folder.

    Change: to the place of your file. The key stays the same.
    """

    sha256: Sha256 | None = None
    """SHA-256 of the file. Not given: it is computed and filled in before the key is.

    Change: give it to pin the file. Another one is then an error.
    """

    words: str = ""
    """Words of a binary file, which does not list them: a text file whose lines begin with a word, as lexicons do.

    Read where `path` is no ARPA file.
    Change: give it beside a binary file, which is loaded in a part of the time. The key says what it holds.
    """

    words_sha256: Sha256 | None = None
    """SHA-256 of the file of words. Not given: it is computed and filled in before the key is.

    Change: give it to pin the file. Another one is then an error.
    """


class TranscriptModel(Spec):
    """A language model of the training transcripts alone, by interpolated Witten-Bell smoothing."""

    type: Literal["transcripts"]
    """Selects the training transcripts. They are few words beside those of a text corpus."""

    order: Annotated[int, Field(ge=2, le=6)] = 3
    """Longest run of words that is counted.

    Unit: words.
    Source: KenLM reads from 2 to 6.
    Change: 2 for few transcripts, 4 for hundreds of hours.
    """


LanguageModelSpec = Annotated[ArpaModel | TranscriptModel, Field(discriminator="type")]


class LexiconDecoderSpec(Spec):
    """Beam search over words of a lexicon, scored by a language model, beside the greedy result of the same head.

    The lexicon is the words of the language model, spelled by the letters of the task. No other word can be written.
    """

    type: Literal["lexicon"]
    """Selects this decoder."""

    language_model: LanguageModelSpec
    """What says how likely a word is after others."""

    lm_weight: Positive = 2.0
    """How much the language model counts: what its logarithms to the base 10 are multiplied by.

    Those of the network are natural ones, as in all published weights for this decoder.
    Source: fairseq's HuBERT and s3prl's recognition, 2.
    Change: lower for a language model of other text than is spoken.
    """

    word_score: float = -1.0
    """What is added per word: below 0 there are fewer words.

    Source: fairseq's HuBERT and s3prl's recognition, -1.
    Change: with `lm_weight`, on the dev part.
    """

    beam: Count = 500
    """How many hypotheses are kept after each frame.

    Source: fairseq's HuBERT (examples/hubert/config/decode), 500; s3prl's recognition has 5.
    Change: fewer to save time.
    """

    beam_threshold: Positive = 100.0
    """A hypothesis that is worse than the best one by more than this is dropped.

    Source: fairseq's HuBERT, 100; s3prl's recognition has 25.
    Change: lower to save time.
    """
