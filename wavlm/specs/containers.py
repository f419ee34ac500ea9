"""Specs of layouts whose audio lies in containers: files of Hugging Face `datasets`, and tars of WebDataset."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wavlm.specs.base import Probability, Spec
from wavlm.specs.paths import Glob


class HuggingfaceLayout(Spec):
    """A folder of Hugging Face `datasets`: Parquet files, or what `save_to_disk` writes, with the audio in it.

    The audio is copied once into the corpus, so it needs its size on the disk again. Splits are those that the files
    or their folders are named after. Configurations are folders: `data` chooses among them.
    """

    type: Literal["huggingface"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    data: tuple[Glob, ...] = ("**/*.parquet", "**/*.arrow")
    """Globs of the files to read, below the source.

    Change: to read one configuration or split, such as `de/train-*.parquet`.
    """

    audio_column: Annotated[str, Field(min_length=1)] = "audio"
    """Column with the audio: its bytes, as the feature `Audio` stores them.

    Change: to the name in your data set.
    """

    id_column: str = ""
    """Column that names the utterance. Empty: its name is made of the file and the number of the row.

    Change: give it where the data set has names of its own.
    """

    speaker_column: str = ""
    """Column that names the speaker.

    Change: give it where the data set knows the speakers, such as `speaker_id` or `client_id`.
    """

    language_column: str = ""
    """Column that names the language.

    Change: give it where the data set has several languages, such as `locale`.
    """

    text_column: str = ""
    """Column that holds the text.

    Change: give it to keep the texts in the shards, such as `sentence`. Pre-training does not use them.
    """

    max_left_over_rows: Probability = 0.1
    """How many rows may have no audio. More are an error.

    Unit: fraction of the rows.
    Change: raise it if rows without audio are meant.
    """


class WebdatasetLayout(Spec):
    """Tars of WebDataset that others made: members of one key are a sample, with audio and a JSON or text beside it.

    The key of a member is its path up to the first dot of its name, as webdataset splits it. The members are unpacked
    once into the corpus, so they need their size on the disk again. Of several audio members each is a recording.
    """

    type: Literal["webdataset"]
    """Selects this layout."""

    tars: tuple[Glob, ...] = ("**/*.tar", "**/*.tar.gz", "**/*.tgz")
    """Globs of the tars to read, below the source.

    Change: to read a part of them, such as `train-*.tar`.
    """

    valid: tuple[Glob, ...] = ()
    """Globs of the tars whose samples are held out for validation. They are read in addition to `tars`.

    Change: give it where the publisher defines the split.
    """

    speaker_field: str = "speaker"
    """Field of the JSON member that names the speaker. A sample without it has an unknown speaker.

    Change: to the name in your tars, such as `speaker_id`.
    """

    language_field: str = "language"
    """Field of the JSON member that names the language.

    Change: to the name in your tars, such as `lang`.
    """

    text_field: str = "text"
    """Field of the JSON member that holds the text. A `.txt` member counts where the JSON has no text.

    Change: to the name in your tars, such as `transcript`.
    """


# Their files are unpacked into the corpus before they are read.
InContainers = HuggingfaceLayout | WebdatasetLayout
