"""What the corpus stage reports about a corpus: counts, hours, the split and the archives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wavlm.corpus.layouts import FilesAccount, TableAccount
from wavlm.storage.facts import Facts

# How the valid split was chosen: `listed` (speakers named in the spec), `layout` (by the publisher's tables),
# `speakers` (by hashes of their names, so that no speaker is in both splits), `recordings` (by hashes of their keys),
# or `none`.
SplitRule = Literal["listed", "layout", "speakers", "recordings", "none"]


class Amount(Facts):
    """Recordings and how long they are. Both are integers, so that sums are exact."""

    recordings: int = 0
    microseconds: int = 0  # each recording rounded; 0 for one whose length is not known

    @property
    def hours(self) -> float:
        return round(self.microseconds / 3.6e9, 6)


class ArchiveReceipt(Facts):
    """One archive that was fetched and unpacked."""

    name: str  # its file name, or package and version
    sha256: str
    pinned_by: Literal["sha256", "md5"]  # the digest that the spec gives
    bytes: int
    files: int  # that were unpacked
    skipped_links: int


class CorpusFacts(Facts):
    """The result of the corpus stage. Lengths are those of possible headers, or measured."""

    role: Literal["speech", "noise", "room", "evaluation"]
    utterances: int  # recordings of the manifest
    speakers: int
    hours: float
    without_header: int  # recordings whose length is not known
    with_text: int
    with_phones: int
    with_target: int = 0  # of a corpus for evaluations: recordings with a target
    trials: int = 0  # of all its lists
    split_rule: SplitRule
    split_below: float  # threshold of the hashes
    valid_utterances: int
    valid_hours: float
    found: Amount  # by the layout: the sum of train, valid and excluded
    train: Amount
    valid: Amount
    excluded: dict[str, Amount]  # by reason, such as COPY_OF_VALID
    duplicate_contents: int  # recordings of the manifest whose bytes another one has, too
    content: str | None = None  # the sha256 of the folder's content; None for archives
    generation: int = 1  # of a corpus that grows
    archives: tuple[ArchiveReceipt, ...]  # none for a folder
    files: FilesAccount | None = None  # everything below the folder: used or left out
    tables: tuple[TableAccount, ...] = ()  # of the layout
    hours_per_language: dict[str, float] = Field(default_factory=dict)  # if the layout knows languages

    @property
    def train_hours(self) -> float:
        return self.train.hours
