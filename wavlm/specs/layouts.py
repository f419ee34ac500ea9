"""Specs of layouts: how the files of a corpus are arranged, one class per publisher, and one for any folder tree.

Those of large corpora: wavlm.specs.publishers; of corpora for evaluations: wavlm.specs.labelled; of other toolkits:
wavlm.specs.manifests, wavlm.specs.containers.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from wavlm.specs.base import FieldError, Name, Probability, Spec
from wavlm.specs.containers import InContainers
from wavlm.specs.labelled import ForEvaluations
from wavlm.specs.manifests import InManifests
from wavlm.specs.paths import Below, Glob, check_group
from wavlm.specs.publishers import OfLargePublisher
from wavlm.specs.superb import OfSuperb
from wavlm.specs.superb_generation import OfSuperbGeneration

# Fields of layouts that say what evaluations need. Only corpora of the role `evaluation` may have them.
TARGET_FIELDS = (
    "class_column",
    "partition_column",
    "target_column",
    "class_pattern",
    "partition_pattern",
    "trials",
    "lexicon",
)


class LibrispeechLayout(Spec):
    """LibriSpeech: `<root>/.../<speaker>/<chapter>/<speaker>-<chapter>-<n>.flac`, with `*.trans.txt` beside them."""

    type: Literal["librispeech"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds the tree. Empty: the source itself.

    Change: when the archive has a folder above the subsets, such as LibriSpeech.
    """

    lexicon: tuple[Below, ...] = ()
    """Lexicons, paths below the source: a line `<word> <phone> <phone> ...` per word. They give phones of the texts.

    A word in several has the pronunciation of the first. A word in none is an error. Only of corpora for evaluations,
    whose partitions are the subsets, such as `test-clean`.
    Source: SUPERB takes two that a grapheme-to-phoneme model made (`s3prl/downstream/ctc/lexicon`).
    Change: give it for phoneme recognition.
    """


class GenericLayout(Spec):
    """Any folder tree: a glob finds the audio; a pattern or a table gives the speaker; tables hold text and phones."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows", "max_without_row"})

    type: Literal["generic"]
    """Selects this layout."""

    audio: Glob = "**/*"
    """Glob of the audio files, relative to the source. Files that are no audio are left out.

    The letter case of the suffix does not matter. Links are followed.
    Change: to read only some folders or one file ending, such as `**/*.flac`.
    """

    speaker: Annotated[str, AfterValidator(check_group("speaker"))] = ""
    """Regular expression with a group `(?P<speaker>...)`. It is searched in the path relative to the source.

    Empty: the speaker is unknown.
    Change: give it where the path names the speaker. Then whole speakers are held out for validation, the codebook's
    sample is balanced over speakers, and short clips can be joined.
    """

    transcripts: Below = ""
    """Table with one row per recording, a path relative to the source: TSV in UTF-8 with a header.

    It holds texts, and speakers, languages or splits, in the columns that the next fields name.
    Change: give it to keep the texts in the shards (pre-training does not use them), or to know the speakers.
    """

    phones: Below = ""
    """Table of timed phones, a path relative to the source: TSV with a header: `utt_id`, `start_s`, `end_s`, `phone`.

    Change: give it to measure label quality (PNMI) and to score layers. Pre-training does not use it.
    """

    id_column: Annotated[str, Field(min_length=1)] = "utt_id"
    """Column of both tables that names the recording: its path below the source, or its file name.

    Suffixes do not matter. A file name that several recordings have names none of them.
    Change: to the header of your table, such as `path`.
    """

    text_column: str = "text"
    """Column of `transcripts` that holds the text. Empty: the table has no texts.

    Change: to the header of your table, such as `sentence`.
    """

    speaker_column: str = ""
    """Column of `transcripts` that names the speaker. Give either this or `speaker`.

    A recording without a row, or with an empty field, has an unknown speaker.
    Change: where the table names the speaker, such as `client_id` of Common Voice.
    """

    language_column: str = ""
    """Column of `transcripts` that names the language. The facts of the corpus then have the hours per language.

    Change: give it where the table names the language, to see how much there is of each.
    """

    split_column: str = ""
    """Column of `transcripts` that says `train`, `valid` (or `validation`, `val`, `dev`) or `test`.

    Valid recordings are held out. Those of `test`, and those without a row, are not used.
    Change: give it where the publisher defines the split.
    """

    class_column: str = ""
    """Column of `transcripts` that holds the class of the recording, such as a word or an emotion.

    A recording without a row, or with an empty field, has none. Only of corpora for evaluations.
    Change: give it for tasks that choose one of several classes.
    """

    class_pattern: Annotated[str, AfterValidator(check_group("class"))] = ""
    """Regular expression with a group `(?P<class>...)`. It is searched in the path relative to the source.

    Only of corpora for evaluations. It has to fit every path.
    Change: give it where the path names the class, and not a table.
    """

    partition_column: str = ""
    """Column of `transcripts` that holds the publisher's partition, as it is written there: `train`, `test`, `fold1`.

    Only of corpora for evaluations, of which recordings of all partitions are read.
    Change: give it where a table says what to train heads on, and what to score.
    """

    partition_pattern: Annotated[str, AfterValidator(check_group("part"))] = ""
    """Regular expression with a group `(?P<part>...)`, searched in the path: the publisher's partition.

    Only of corpora for evaluations. It has to fit every path.
    Change: give it where folders or names are the partitions.
    """

    target_column: str = ""
    """Column of `transcripts` that holds the target as one JSON object, such as `{"intent": {"action": "on"}}`.

    Its names: docs/labelled-corpora.md. Only of corpora for evaluations.
    Change: give it for tasks that need more than a text, a speaker or a class.
    """

    trials: tuple[Below, ...] = ()
    """Tables of trials, paths relative to the source: TSV with a header: `enrol`, `test`, `is_target` (0 or 1).

    `enrol` and `test` name recordings as `id_column` does. The file name without suffix is the name of the list. Only
    of corpora for evaluations.
    Change: give it for tasks about pairs: whether two voices are one, or a recording holds a query.
    """

    only_listed: bool = False
    """True: recordings without a row in `transcripts` are not used.

    Change: to read one part of a corpus whose tables list the parts, such as `validated.tsv` of Common Voice.
    """

    max_left_over_rows: Probability = 0.1
    """How many rows of a table may name no recording, name one again, or fit several. More are an error.

    Unit: fraction of the rows.
    Change: raise it if the table covers more than the folder holds.
    """

    max_without_row: Probability = 0.75
    """How many recordings may have no row in a table. More are an error: the names of the table are probably wrong.

    Unit: fraction of the recordings.
    Change: 1 for a table of a small part; 0 for a table that must be complete.
    """

    @model_validator(mode="after")
    def _check_columns(self) -> GenericLayout:
        columns = (
            "speaker_column",
            "language_column",
            "split_column",
            "class_column",
            "partition_column",
            "target_column",
        )
        for name in (*columns, "only_listed"):
            if getattr(self, name) and not self.transcripts:
                raise FieldError(f"{name} needs a table transcripts", name)
        for one, other in (
            ("speaker", "speaker_column"),
            ("class_pattern", "class_column"),
            ("partition_pattern", "partition_column"),
        ):
            if getattr(self, one) and getattr(self, other):
                raise FieldError(f"give either {one} or {other}", other)
        return self


class FilletsLayout(Spec):
    """Dialogues of the game Fish Fillets NG. The role in the dialogue script is the speaker."""

    type: Literal["fillets"]
    """Selects this layout."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    """Language of the dialogues, as in the package's folders.

    Unit: two letters, ISO 639-1.
    """


class AsteriskLayout(Spec):
    """Prompts of the Asterisk telephone server: raw G.722 files, one voice per package."""

    type: Literal["asterisk"]
    """Selects this layout."""

    speaker: Name
    """Name of the voice of this package."""

    only_with_text: bool = False
    """True: prompts whose text is not known are not used. Some of them are tones, and no speech.

    Change: true for recognition, where each recording needs a text.
    """


class FestvoxLayout(Spec):
    """A Festvox voice for unit selection: sentences in wav/ and a catalogue of timed phones."""

    type: Literal["festvox"]
    """Selects this layout."""

    speaker: Name
    """Name of the voice."""


OfPublisher = LibrispeechLayout | GenericLayout | FilletsLayout | AsteriskLayout | FestvoxLayout

# Layouts of corpora for evaluations. Where such a corpus is trained on, its publisher's test set is left out.
LABELLED: tuple[type[Spec], ...] = (*get_args(ForEvaluations), *get_args(OfSuperb), *get_args(OfSuperbGeneration))

Layout = Annotated[
    OfPublisher | OfLargePublisher | ForEvaluations | OfSuperb | OfSuperbGeneration | InManifests | InContainers,
    Field(discriminator="type"),
]
