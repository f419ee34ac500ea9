"""Specs of layouts of large corpora, whose publishers list in files of their own what is speech in a recording."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import FieldError, NonNegative, Positive, Probability, Spec
from wavlm.specs.paths import Below


class LibrilightLayout(Spec):
    """Libri-Light: `<part>/<speaker>/<book>/<chapter>.flac`, and beside each a JSON with speaker and voice activity.

    A chapter is cut at its pauses: stretches of voice that follow each other make one recording of at most
    `max_seconds`. A longer stretch stays whole here, and the shards stage cuts it. A chapter without voice is left out.
    """

    type: Literal["librilight"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_without_json"})

    root: Below = ""
    """Folder below the source that holds the parts (`small`, `medium`, `large`). Empty: the source itself.

    Change: to `small` to read one part of a copy of all.
    """

    max_seconds: Positive = 30.0
    """How long a recording of several stretches of voice may be.

    Unit: seconds.
    Change: to `max_seconds` of the recipe's shards, if that is another one.
    """

    max_pause_seconds: NonNegative = 1.0
    """A pause longer than this is in no recording. A shorter one is kept between two stretches of voice.

    Unit: seconds.
    Change: raise it if silence is wanted.
    """

    margin_seconds: NonNegative = 0.2
    """How much of the pauses around it a recording takes, at most half of each.

    Unit: seconds.
    Change: 0 to begin and end exactly where the voice activity does.
    """

    max_without_json: Probability = 0.01
    """How many chapters may have no JSON. They are used whole. More are an error.

    Unit: fraction of the chapters.
    Change: 0 if each must have its JSON.
    """


class GigaspeechLayout(Spec):
    """GigaSpeech: Opus files of whole episodes, and `GigaSpeech.json`, which lists their segments.

    Segments of a subset are regions of their episode. Segments that are tagged as no speech (`<SIL>`, `<MUSIC>`,
    `<NOISE>`, `<OTHER>`), and episodes of the publisher's DEV and TEST, are never used. Speakers are not known: an
    episode counts as one.
    """

    type: Literal["gigaspeech"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    root: Below = ""
    """Folder below the source that holds `GigaSpeech.json` and `audio`. Empty: the source itself.

    Change: when they lie in a folder of a larger copy.
    """

    subset: Literal["XS", "S", "M", "L", "XL"] = "XL"
    """The publisher's subset: 10, 250, 1,000, 2,500 or 10,000 hours of segments. A larger one holds the smaller ones.

    Change: to a smaller one to try it. With `take: episodes` it does not count.
    """

    take: Literal["segments", "episodes"] = "segments"
    """What a recording is.

    `segments`: the transcribed segments of the subset. `episodes`: every whole episode, 33,005 hours, of which the
    shards stage cuts pieces: with music and with speech that nobody has checked.
    Change: `episodes` for more hours that are less clean.
    """

    max_left_over_rows: Probability = 0.02
    """How many of the recordings that are listed may have no audio: files that are missing, or have 0 bytes.

    More are an error. The release has 65 files of 0 bytes, and some copies lack podcasts P0081 to P0084.
    Unit: fraction of the recordings.
    Change: raise it if only a part of the audio is on this machine.
    """


class VoxpopuliLayout(Spec):
    """VoxPopuli as its `download_audios` leaves it: whole sessions in Ogg, and the publisher's lists of segments.

    Segments are regions of their session: no second copy is cut. Where speakers are not known, a session counts as one.
    """

    type: Literal["voxpopuli"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    root: Below = ""
    """Folder below the source that holds `raw_audios`. Empty: the source itself.

    Change: when it lies in a folder of a larger copy.
    """

    take: Literal["unlabelled", "transcribed"] = "unlabelled"
    """Which list is read.

    `unlabelled`: `unlabelled_data/unlabelled_v2.tsv.gz`, segments of about 20 s of `raw_audios/<language>`.
    `transcribed`: `transcribed_data/<language>/asr_<language>.tsv.gz`, utterances of `raw_audios/original` with texts,
    speakers and splits; those of the publisher's test set are not used.
    Change: `transcribed` for a part with speakers and texts, 543 hours of English.
    """

    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2}$")], ...] = Field(("en",), min_length=1)
    """Languages to read, in two letters.

    Change: to those that you have downloaded. With `transcribed` each has a list of its own.
    """

    years: tuple[Annotated[int, Field(ge=2009, le=2020)], ...] = ()
    """Years to read. Empty: all, 2009 to 2020.

    Change: to read a part.
    """

    max_left_over_rows: Probability = 0.02
    """How many segments may have no audio. More are an error.

    Unit: fraction of the segments of these languages and years.
    Change: raise it if only a part of the audio is on this machine.
    """

    @model_validator(mode="after")
    def _check_different(self) -> VoxpopuliLayout:
        for name in ("languages", "years"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise FieldError("each one may stand here once", name)
        return self


class MlsLayout(Spec):
    """Multilingual LibriSpeech: `<part>/audio/<speaker>/<book>/<speaker>_<book>_<number>.flac` or `.opus`.

    Texts are in `<part>/transcripts.txt`. Recordings of `dev` are held out for validation; `test` is not used.
    """

    type: Literal["mls"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    root: Below = ""
    """Folder below the source that holds `train`, `dev` and `test`. Empty: the source itself.

    Change: to the folder that the archive holds, such as `mls_polish_opus`.
    """

    max_left_over_rows: Probability = 0.02
    """How many texts may have no recording. More are an error.

    Unit: fraction of the texts.
    Change: raise it if only a part of the audio is on this machine.
    """


OfLargePublisher = LibrilightLayout | GigaspeechLayout | VoxpopuliLayout | MlsLayout
