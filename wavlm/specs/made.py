"""Spec of a source that a speech synthesiser makes: which sentences, by which voices, in which manner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Name, Natural, Sha256, Spec

Voice = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\+[A-Za-z0-9][A-Za-z0-9_-]*)?$")]
BLANK = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LINE = re.compile(r"[\t\r\n{}]")


class MannerSpec(Spec):
    """How sentences are spoken: what espeak-ng lets one set."""

    words_per_minute: Annotated[int, Field(ge=80, le=450)] = 175
    """Rate of speech.

    Unit: words per minute.
    Source: the default of espeak-ng.
    Change: for another manner.
    """

    pitch: Annotated[int, Field(ge=0, le=99)] = 50
    """Base of the pitch, around what the voice has.

    Unit: 0 to 99.
    Source: the default of espeak-ng.
    Change: for another manner.
    """

    pitch_range: Annotated[int, Field(ge=0, le=99)] = 50
    """How far the pitch moves. 0: it does not.

    Unit: 0 to 99.
    Source: the default of espeak-ng.
    Change: for another manner.
    """

    volume: Annotated[int, Field(ge=10, le=200)] = 100
    """Loudness.

    Unit: percent of the usual amplitude.
    Source: the default of espeak-ng.
    Change: for another manner.
    """

    spread: Annotated[int, Field(ge=0, le=50)] = 10
    """Each of the four is drawn anew for each recording, at most so far from its value.

    Unit: percent of the value.
    Change: 0 for one manner to the letter; more makes manners harder to tell apart.
    """


class SentenceSpec(Spec):
    """One pattern of sentences."""

    text: Annotated[str, Field(min_length=1)]
    """The words, with blanks in braces, as in `turn on the lights in the {room}`. A blank is filled from `values`.

    What fills it is a slot of the sentence, by the name of the blank; a blank of `fillers` is none.
    """

    intent: dict[str, str] = Field(default_factory=dict)
    """What the sentence asks for, such as `{action: activate, object: lights, location: "{room}"}`.

    Change: give it for intent classification. All sentences of a source need the same names.
    """


class MadeSource(Spec):
    """Speech of espeak-ng, made on this machine. Same version and fields, same bytes: the digest says so.

    Nobody speaks here. Scores say whether an evaluation works and compare models roughly; they are no claims.
    """

    type: Literal["made"]
    """Selects this kind of source."""

    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)+$")]
    """Version of espeak-ng. Another one speaks otherwise.

    Source: the package espeakng-loader of the extra `evaluation`.
    Change: together with `sha256`.
    """

    sha256: Sha256
    """SHA-256 of the tar that is made, in hex.

    Source: the error MADE_OTHERWISE of a run with another digest says what was made.
    Change: whenever another field changes. This makes another corpus.
    """

    voices: dict[Name, tuple[Voice, ...]] = Field(min_length=1)
    """The voices of each part, as espeak-ng names them: an accent and a variant, as in `en-us+f1`.

    No voice is in two parts. Variants are settings of one synthesiser: they differ less than people do.
    """

    sentences: tuple[SentenceSpec, ...] = Field(min_length=1)
    """Patterns of sentences. Each voice speaks all of them equally often."""

    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What fills the blanks, by their names; the slots of slot filling.

    Change: more values make slot filling harder.
    """

    fillers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What fills blanks that are no slots, such as `please` or nothing.

    Change: for more ways to say the same.
    """

    manners: dict[Name, MannerSpec] = Field(default_factory=dict)
    """Manners of speaking. With two or more of them the class of a recording is its manner. Not given: the usual one.

    Change: give several for emotion recognition: what is recognised is then a setting of a synthesiser.
    """

    per_voice: Count
    """Recordings of each voice. Manners and patterns take turns.

    Unit: recordings.
    """

    seed: Natural = 0
    """Seed of what fills blanks, and of the spread of manners.

    Change: for another draw. The digest changes, too.
    """

    @property
    def file_name(self) -> str:
        """Name of the tar among the downloads: the digest that pins it."""
        return f"{self.sha256}.tar"

    @property
    def size_bytes(self) -> None:
        """Nobody knows it before it is made."""
        return None

    @model_validator(mode="after")
    def _check_voices(self) -> MadeSource:
        every = [voice for voices in self.voices.values() for voice in voices]
        if twice := sorted({voice for voice in every if every.count(voice) > 1}):
            raise FieldError(f"the voice {', '.join(twice)} is named twice: no voice may be in two parts", "voices")
        if empty := [part for part, voices in self.voices.items() if not voices]:
            raise FieldError(f"the part {empty[0]} has no voice", "voices")
        return self

    @model_validator(mode="after")
    def _check_blanks(self) -> MadeSource:
        if both := sorted(self.values.keys() & self.fillers.keys()):
            raise FieldError(f"the blank {both[0]} is among values and fillers", "fillers")
        for kind, blanks in (("values", self.values), ("fillers", self.fillers)):
            for name, texts in blanks.items():
                if not texts or any(_LINE.search(text) or (kind == "values" and not text.strip()) for text in texts):
                    raise FieldError("expected texts of one line without braces, one at least", kind, name)
        for number, sentence in enumerate(self.sentences):
            for message, field in self._faults_of(sentence):
                raise FieldError(message, "sentences", number, field)
        return self

    def _faults_of(self, sentence: SentenceSpec) -> Iterator[tuple[str, str]]:
        known = {*self.values, *self.fillers}
        in_text = BLANK.findall(sentence.text)
        if unknown := sorted(set(in_text) - known):
            yield f"the blank {unknown[0]} is neither among values nor among fillers", "text"
        if len(in_text) != len(set(in_text)):
            yield "a blank stands in it twice", "text"
        if _LINE.search(BLANK.sub("", sentence.text)):
            yield "expected one line, with braces around names of blanks alone", "text"
        if sentence.intent.keys() != self.sentences[0].intent.keys():
            yield "expected the same names in the intents of all sentences", "intent"
        for name, value in sentence.intent.items():
            if not name.strip() or not value.strip() or not set(BLANK.findall(value)) <= set(in_text):
                yield f"the {name or 'name'} of the intent is empty, or names a blank that is not in the text", "intent"
