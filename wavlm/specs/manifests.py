"""Specs of layouts that other toolkits write: manifests that list audio. Those that hold it: wavlm.specs.containers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import FieldError, Probability, Spec
from wavlm.specs.paths import Glob


class ListedLayout(Spec):
    """What the layouts of manifests share: which manifests are read, and where the audio is that they name."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"audio_root", "max_left_over_rows", "max_without_row"})

    manifests: tuple[Glob, ...] = Field(min_length=1)
    """Manifests to read, as paths or globs below the source.

    Change: to the files that list what you train on, and no others: a manifest that is not named is not read.
    """

    valid: tuple[Glob, ...] = ()
    """Manifests whose rows are held out for validation, as paths or globs below the source.

    If any are given, `valid_fraction` is not used.
    Change: give it where the publisher defines the split.
    """

    audio_root: str = ""
    """Folder at which relative paths of the audio start. `~` is the home folder.

    Empty: they start at the folder of their manifest. A relative one starts at the source. What the files hold is part
    of the corpus' identity; their place is not.
    Change: where paths start elsewhere, such as the folder from which a recipe of Kaldi or ESPnet runs.
    """

    max_left_over_rows: Probability = 0.1
    """How many rows of a manifest may name audio that is not there, or repeat another row. More are an error.

    Unit: fraction of the rows.
    Change: raise it if only a part of the audio is on this machine; 0 if every row must have its audio.
    """

    max_without_row: Probability = 0.75
    """How many utterances may have no row in a table beside the manifest, such as `utt2spk`. More are an error.

    Unit: fraction of the utterances.
    Change: 1 for a table of a small part; 0 for a table that must be complete.
    """


class KaldiLayout(ListedLayout):
    """Data directories of Kaldi: `wav.scp`, and beside it `segments`, `utt2spk`, `text`, `utt2lang`.

    `reco2file_and_channel` says which channel a recording is. Commands in `wav.scp` are refused and never run, and
    so are archives (`foo.ark:123`).
    """

    type: Literal["kaldi"]
    """Selects this layout."""

    manifests: tuple[Glob, ...] = ("wav.scp",)
    """Data directories, or their `wav.scp`, as paths or globs below the source. Not given: the source is one.

    Change: to the directories that you train on, such as `data/train`.
    """


class EspnetLayout(ListedLayout):
    """Manifests of ESPnet: data directories as Kaldi's, also those of `dump/raw`, and the TSV and JSONL of ESPnet3.

    A TSV has no header. Its columns are the name of the utterance, the path, and the text.
    """

    type: Literal["espnet"]
    """Selects this layout."""


class LhotseLayout(ListedLayout):
    """Manifests of lhotse: cuts, or recordings with or without supervisions, as JSONL, also with gzip.

    A line says what it is. With supervisions each supervision is an utterance, otherwise each recording.
    """

    type: Literal["lhotse"]
    """Selects this layout."""


class NemoLayout(ListedLayout):
    """Manifests of NeMo: JSONL with `audio_filepath`, `offset`, `duration`, `text`, `speaker` and `lang`.

    A row with `offset` is a region of `duration` seconds; one without is the whole file.
    """

    type: Literal["nemo"]
    """Selects this layout."""


class FairseqLayout(ListedLayout):
    """Manifests of fairseq: a TSV whose first line is the folder of the audio, with paths and numbers of samples below.

    Texts are read from the `.wrd` or the `.ltr` of the same name. `audio_root` takes the place of the first line.
    """

    type: Literal["fairseq"]
    """Selects this layout."""

    manifests: tuple[Glob, ...] = ("train.tsv",)
    """TSV files to read, as paths or globs below the source.

    Change: to other names than fairseq's own.
    """


class TableLayout(ListedLayout):
    """A table with named columns, one row per utterance: CSV, TSV, Parquet or JSONL.

    Names of the columns are given below. A column that is named has to be there.
    """

    type: Literal["table"]
    """Selects this layout."""

    path_column: Annotated[str, Field(min_length=1)] = "path"
    """Column that names the audio file.

    Change: to the header of your table, such as `file_name`.
    """

    id_column: str = ""
    """Column that names the utterance. Empty: its name is made of the path and the times.

    Change: give it where the table has names of its own.
    """

    start_column: str = ""
    """Column with the start of the utterance in the file, in seconds. Empty, or an empty field: from the beginning.

    Change: give it where a row is a part of a file.
    """

    end_column: str = ""
    """Column with the end of the utterance in the file, in seconds. Empty, or an empty field: to the end.

    Change: give either this or `duration_column`.
    """

    duration_column: str = ""
    """Column with the duration in seconds, counted from the start. It is read where there is a `start_column`.

    Change: give it where the table has no end.
    """

    channel_column: str = ""
    """Column with the channel, counted from 1. Empty, or an empty field: as `channels` of the corpus says.

    Change: give it where a row is one channel of a file.
    """

    speaker_column: str = ""
    """Column that names the speaker.

    Change: give it where the table names the speaker.
    """

    language_column: str = ""
    """Column that names the language.

    Change: give it where the table names the language.
    """

    text_column: str = ""
    """Column that holds the text.

    Change: give it to keep the texts in the shards. Pre-training does not use them.
    """

    class_column: str = ""
    """Column with the class of the utterance, such as a word or an emotion. Only of corpora for evaluations.

    Change: give it for tasks that choose one of several classes.
    """

    partition_column: str = ""
    """Column with the publisher's partition, as it is written there. Only of corpora for evaluations.

    Change: give it where the table says what to train heads on, and what to score.
    """

    target_column: str = ""
    """Column with the target as one JSON object. Its names: docs/labelled-corpora.md. Only of corpora for evaluations.

    Change: give it for tasks that need more than a text, a speaker or a class.
    """

    split_column: str = ""
    """Column that says `train`, `valid` (or `validation`, `val`, `dev`) or `test`. Rows of `test` are not used.

    Change: give it where the publisher defines the split in the table.
    """

    @model_validator(mode="after")
    def _check_columns(self) -> TableLayout:
        if self.end_column and self.duration_column:
            raise FieldError("give either end_column or duration_column", "duration_column")
        if self.duration_column and not self.start_column:
            raise FieldError("duration_column needs a start_column", "duration_column")
        return self


InManifests = KaldiLayout | EspnetLayout | LhotseLayout | NemoLayout | FairseqLayout | TableLayout
