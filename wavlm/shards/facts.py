"""What the shards stage reports: recordings in, utterances out, rejects by reason."""

from __future__ import annotations

from wavlm.storage.facts import Facts


class ShardsFacts(Facts):
    """The result of the shards stage. Durations are those of the decoded audio."""

    recordings: int  # of the manifest
    recordings_used: int
    excluded: dict[str, int]  # recordings per `Reason`; nothing is wrong with them
    rejected: dict[str, int]  # recordings per `Reason`
    utterances: int
    speakers: int  # without those whose name is not known
    hours: float
    valid_hours: float
    shards: int
    bytes: int  # of all tars
    repeated_recordings: int  # recordings whose bytes came before
    in_both_splits: int  # contents that are in the train and in the valid split
