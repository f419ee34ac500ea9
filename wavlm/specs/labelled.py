"""Specs of layouts whose corpora are there for evaluations: turns of speakers, words, emotions, queries and more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from wavlm.specs.base import Spec
from wavlm.specs.paths import Glob, check_group


class RttmLayout(Spec):
    """Conversations: audio, and RTTM files that say who speaks when. UEM files say which stretches are scored.

    RTTM and UEM name a recording by its file name without suffix. One file may be about many recordings.
    """

    type: Literal["rttm"]
    """Selects this layout."""

    audio: Glob = "**/*"
    """Glob of the audio files, relative to the source.

    Change: to read only some of the recordings.
    """

    rttm: tuple[Glob, ...] = Field(("**/*.rttm",), min_length=1)
    """RTTM files, as paths or globs below the source.

    Change: where several references lie there, such as those of an automatic alignment.
    """

    uem: tuple[Glob, ...] = ("**/*.uem",)
    """UEM files, as paths or globs below the source. A recording that none names is scored as a whole.

    Change: where several lie there; empty to read none.
    """

    partition_pattern: Annotated[str, AfterValidator(check_group("part"))] = ""
    """Regular expression with a group `(?P<part>...)`, searched in the path: the publisher's partition.

    It has to fit every path.
    Change: give it where folders or names are the partitions.
    """

    without_turns: Literal["error", "silent", "leave out"] = "error"
    """What a recording is that no RTTM file names.

    `silent`: nobody speaks in it. `leave out`: it is not used.
    Change: `silent` for recordings in which nobody speaks; `leave out` to read a part of a corpus.
    """


class FreeSpokenDigitLayout(Spec):
    """The Free Spoken Digit Dataset: `<digit>_<speaker>_<number>.wav` in one folder. The digit is the class.

    The publisher's test set are the numbers 0 to 4 of every speaker and digit: no speaker is new in it.
    """

    type: Literal["free-spoken-digits"]
    """Selects this layout."""

    audio: Glob = "**/recordings/*"
    """Glob of the audio files, relative to the source.

    Change: when the recordings lie in other folders.
    """


ForEvaluations = RttmLayout | FreeSpokenDigitLayout
