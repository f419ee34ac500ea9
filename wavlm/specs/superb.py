"""Specs of layouts of SUPERB's corpora for classification, verification and search, as their publishers leave them.

Those of recognition, translation, enhancement, separation and conversion: wavlm.specs.superb_generation.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from wavlm.specs.base import NonNegative, Probability, Spec
from wavlm.specs.paths import Below

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


class SpeechCommandsLayout(Spec):
    """Speech Commands: a folder per word, `validation_list.txt`, `testing_list.txt`, and the test set as a second tree.

    The class is the word, `_unknown_` for any other word, or `_silence_`.
    """

    type: Literal["speech-commands"]
    """Selects this layout."""

    root: Below = "speech_commands_v0.01"
    """Folder below the source that holds the words.

    Change: to the name of your folder, such as `speech_commands_v0.02`.
    """

    test_root: Below = "speech_commands_test_set_v0.01"
    """Folder below the source that holds the test set archive. Empty: the test set are the files of `testing_list.txt`.

    With a test set archive the files of `testing_list.txt` are not used, as in SUPERB.
    Change: to the name of your folder.
    """

    words: tuple[str, ...] = Field(KEYWORDS, min_length=1)
    """Words that are classes of their own.

    Source: the ten of SUPERB (`s3prl/downstream/speech_commands/dataset.py`).
    Change: to score other words; results are then no longer comparable.
    """

    noise_seconds: NonNegative = 1.0
    """Length of the pieces that `_background_noise_` is cut into, of the class `_silence_`. Every tenth is in `dev`.

    SUPERB draws a second at random each time, in training and validation from the same files.
    Unit: seconds. 0: no pieces.
    Change: 0 to train without silence.
    """


class VoxcelebLayout(Spec):
    """VoxCeleb1 and 2: `<speaker>/<video>/<number>.wav` (2: `.m4a`) in `dev` and `test`, and the publisher's lists."""

    type: Literal["voxceleb"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    partition: Literal["identification", "verification", "training"]
    """What the partitions are.

    `identification`: `train`, `dev` and `test` of `iden_split.txt`, with all speakers in each. `verification`: `dev`
    and `test`, the folders of the publisher's archives, without a speaker in common. `training`: all is `train`, as
    VoxCeleb2's dev set is where VoxCeleb1 is scored.
    """

    identification: Below = "iden_split.txt"
    """The publisher's split for identification, a path below the source. Read with `partition: identification`.

    Change: where the list lies elsewhere.
    """

    trials: tuple[Below, ...] = ()
    """The publisher's lists of trials, paths below the source.

    `veri_test.txt`, `list_test_all.txt` and `list_test_hard.txt` are Vox1-O, E and H; the same names with a 2 before
    `.txt` are their cleaned versions. `voxceleb1_test_v2.txt` of OpenSLR is read as the original Vox1-O.
    Change: name the lists that you score; each recording that they name has to be there.
    """

    max_left_over_rows: Probability = 0.0
    """How many rows of the split may name audio that is not there. More are an error.

    Unit: fraction of the rows.
    Change: raise it to try a part of the corpus.
    """


class FluentCommandsLayout(Spec):
    """Fluent Speech Commands: `data/{train,valid,test}_data.csv` and `wavs/speakers/<speaker>/<recording>.wav`."""

    type: Literal["fluent-commands"]
    """Selects this layout."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"max_left_over_rows"})

    root: Below = ""
    """Folder below the source that holds `data` and `wavs`. Empty: the source itself.

    Change: to the folder of the archive, `fluent_speech_commands_dataset`.
    """

    max_left_over_rows: Probability = 0.0
    """How many rows may name audio that is not there. More are an error.

    Unit: fraction of the rows.
    Change: raise it to try a part of the corpus.
    """


EMOTIONS = {"neu": "neu", "hap": "hap", "exc": "hap", "ang": "ang", "sad": "sad"}


class IemocapLayout(Spec):
    """IEMOCAP: `Session<n>/sentences/wav/<dialog>/<utterance>.wav`, labels in `Session<n>/dialog/EmoEvaluation`.

    Partitions are `fold1` to `fold5`, one per session. Utterances of other emotions are not used.
    """

    type: Literal["iemocap"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds `Session1` to `Session5`. Empty: the source itself.

    Change: to `IEMOCAP_full_release`, if the source is the folder above it.
    """

    classes: dict[str, str] = Field(default_factory=lambda: dict(EMOTIONS), min_length=1)
    """The class of each label of the publisher that is used.

    Source: four classes, excitement counts as happiness (`s3prl/downstream/emotion/IEMOCAP_preprocess.py`).
    Change: to score other classes; results are then no longer comparable.
    """


class QuesstLayout(Spec):
    """QUESST 2014: `Audio`, `dev_queries`, `eval_queries`, and in `scoring` the lists and who answers which query.

    Partitions are `utterances`, `dev` and `eval`. Trials pair each query of `dev` and of `eval` with each utterance.
    """

    type: Literal["quesst"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds `scoring`. Empty: the source itself.

    Change: to `quesst14Database`, if the source is the folder above it.
    """

    languages: tuple[str, ...] = ("nnenglish",)
    """Languages to read, as the lists name them. Empty: all.

    Source: SUPERB reads non-native English alone (`s3prl/downstream/quesst14_dtw/dataset.py`).
    Change: to score other languages.
    """


SNIPS_SPEAKERS = {
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}


class AudioSnipsLayout(Spec):
    """Audio SNIPS as SUPERB's scripts leave it: `all.iob.snips.txt`, and `<part>/<speaker>-snips-<part>-<n>.wav`."""

    type: Literal["audio-snips"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds `all.iob.snips.txt`. Empty: the source itself.

    Change: to `SNIPS`, if the source is the folder above it.
    """

    speakers: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(SNIPS_SPEAKERS))
    """The voices of each partition. Recordings of a partition by other voices are not used.

    Source: `s3prl/downstream/ctc/snips.yaml`.
    Change: to split otherwise; results are then no longer comparable.
    """


OfSuperb = (
    SpeechCommandsLayout | VoxcelebLayout | FluentCommandsLayout | IemocapLayout | QuesstLayout | AudioSnipsLayout
)
