"""What the shards stage reports: recordings and samples in; used, excluded and refused ones; utterances out."""

from __future__ import annotations

from pydantic import Field, model_validator

from wavlm.storage.facts import Facts


class LanguageFacts(Facts):
    """What the shards stage found of one language of a corpus."""

    recordings: int  # of the manifest
    excluded: int  # recordings that are too short
    rejected: int  # recordings that are bad
    utterances: int
    hours: float
    valid_hours: float

    @property
    def train_hours(self) -> float:
        return round(self.hours - self.valid_hours, 6)


class ShardsFacts(Facts):
    """The result of the shards stage. Durations are those of the decoded audio.

    `recordings` = `recordings_used` + all `excluded` + all `rejected`.
    `samples` = `samples_used` + `samples_excluded` + `samples_refused`, at the rate of the shards, once per channel
    that is taken.
    """

    recordings: int  # of the manifest
    recordings_used: int  # all of it, or some pieces
    excluded: dict[str, int]  # recordings per `Reason`; nothing is wrong with them
    rejected: dict[str, int]  # recordings per `Reason`
    rejected_pieces: dict[str, int] = Field(default_factory=dict)  # pieces of recordings that are used, per `Reason`
    samples: int = 0  # of all recordings that can be decoded to their end
    samples_used: int = 0
    samples_excluded: int = 0
    samples_refused: int = 0  # of recordings and of pieces
    samples_outside: int = 0  # of files with regions, in no region: not in `samples`
    samples_repeated: int = 0  # in `samples` more than once, because regions overlap
    unmeasured: int = 0  # rejected recordings that cannot be decoded to their end: not in `samples`
    gap_samples: int = 0  # silence between joined recordings: in `hours`, and not in `samples`
    clipped_samples: int = 0  # above full scale, of recordings that are used
    notes: dict[str, int] = Field(
        default_factory=dict
    )  # recordings that are used per `NoteCode`, such as LENGTH_RECOVERED
    channels: dict[str, int] = Field(default_factory=dict)  # recordings that are used per number of channels
    cuts: dict[str, int] = Field(default_factory=dict)  # of long recordings: at a pause, quiet, equal
    utterances: int
    speakers: int  # without those whose name is not known
    hours: float
    valid_hours: float
    sample_rate_hz: int = 16000  # of all numbers of samples here
    shards: int
    bytes: int  # of all tars
    parts_reused: int = 0  # parts that were taken over from another generation
    repeated_recordings: int  # recordings whose bytes and region came before
    in_both_splits: int  # contents that are in the train and in the valid split
    languages: dict[str, LanguageFacts] = Field(default_factory=dict)  # by name; if any recording has one

    @property
    def train_hours(self) -> float:
        return round(self.hours - self.valid_hours, 6)

    @model_validator(mode="after")
    def _check_balance(self) -> ShardsFacts:
        left_out = sum(self.excluded.values()) + sum(self.rejected.values())
        if self.recordings != self.recordings_used + left_out:
            raise ValueError(f"{self.recordings} recordings, {self.recordings_used} used, {left_out} left out")
        if self.samples != self.samples_used + self.samples_excluded + self.samples_refused:
            raise ValueError(f"{self.samples} samples, {self.samples_used} used: the others do not add up")
        return self
