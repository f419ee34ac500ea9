"""What the corpus stage reports about a corpus: counts, hours, the split and the archives."""

from __future__ import annotations

from typing import Literal

from wavlm.corpus.layouts import FilesAccount, TableAccount
from wavlm.storage.facts import Facts

# How the valid split was chosen: `listed` (speakers named in the spec), `speakers` (whole speakers, so that no
# speaker is in both splits), `recordings` (whole recordings of a corpus of one speaker), or `none`.
SplitRule = Literal["listed", "speakers", "recordings", "none"]


class ArchiveReceipt(Facts):
    """One archive that was fetched and unpacked."""

    name: str  # its file name, or package and version
    sha256: str
    pinned_by: Literal["sha256", "md5"]  # the digest that the spec gives
    bytes: int
    files: int  # that were unpacked
    skipped_links: int


class CorpusFacts(Facts):
    """The result of the corpus stage. Durations are those that the headers of the files claim."""

    role: Literal["speech", "noise", "room"]
    utterances: int  # recordings of the manifest
    speakers: int
    hours: float
    without_header: int  # recordings whose length is not known
    with_text: int
    with_phones: int
    split_rule: SplitRule
    valid_utterances: int
    valid_hours: float
    duplicate_contents: int  # recordings whose bytes another recording has, too
    moved_to_train: int  # recordings of the valid split whose bytes are in the train split, too
    archives: tuple[ArchiveReceipt, ...]  # none for a folder
    files: FilesAccount | None = None  # everything below the folder: used or left out
    tables: tuple[TableAccount, ...] = ()  # of the layout
    hours_per_language: dict[str, float] = {}  # if the layout knows languages
