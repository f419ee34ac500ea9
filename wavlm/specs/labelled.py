"""Specs of layouts whose corpora are there for evaluations: turns of speakers, words, emotions, queries and more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from wavlm.specs.base import Spec
from wavlm.specs.manifests import ListedLayout
from wavlm.specs.paths import Below, Glob, check_group


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

    name_pattern: Annotated[str, AfterValidator(check_group("name"))] = ""
    """Regular expression with a group `(?P<name>...)`, searched in the path: the name of the recording in RTTM and UEM.

    It has to fit every path. Empty: the file name without suffix.
    Change: such as `(?P<name>[^/.]+)[.]Mix-Headset[.]wav$` for AMI, whose files are named after their microphone too.
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


class KaldiTurnsLayout(ListedLayout):
    """Conversations in data directories of Kaldi: `wav.scp`, and who speaks when, as for CALLHOME, Switchboard and SRE.

    Turns are those of the file `rttm` beside `wav.scp`, or else of `segments` and `utt2spk`. `reco2dur` bounds them,
    `reco2file_and_channel` says which channel a recording is. The partition is the name of the directory. Commands in
    `wav.scp`, such as `sph2pipe ... |`, are refused and never run: write what they print to files, and name those.
    """

    type: Literal["kaldi-turns"]
    """Selects this layout."""

    manifests: tuple[Glob, ...] = ("wav.scp",)
    """Data directories, or their `wav.scp`, as paths or globs below the source. Not given: the source is one.

    Change: such as `[data/callhome1, data/callhome2]`.
    """

    rttm: str = "rttm"
    """Name of the RTTM file in each directory. A directory that lacks it has `segments` and `utt2spk`.

    Change: such as `ref.rttm`.
    """

    uem: str = "uem"
    """Name of the UEM file in each directory. A directory that lacks it is scored as a whole.

    Change: where it has another name.
    """


class LibricssLayout(Spec):
    """LibriCSS, `for_release`: conditions 0L, 0S, OV10 to OV40, with sessions of ten minutes and eight speakers each.

    A session is `<condition>/<session>/record/raw_recording.wav`, of seven channels, and
    `<condition>/<session>/transcription/meeting_info.txt`. The partition is the condition.
    """

    type: Literal["libricss"]
    """Selects this layout."""

    root: Below = ""
    """Folder below the source that holds the conditions. Empty: the source itself.

    Change: such as `for_release`.
    """

    audio: Glob = "record/raw_recording.wav"
    """The audio of a session, relative to its folder.

    Change: `clean/mix.wav` for the sum of the utterances as they were played.
    """

    segments: bool = False
    """True: recordings are the segments of about a minute that `all_res.json` lists, in samples, as in the publisher's
    continuous evaluation. False: whole sessions.

    Change: true to score separation and recognition by the published segments.
    """


ForEvaluations = RttmLayout | FreeSpokenDigitLayout | KaldiTurnsLayout | LibricssLayout
