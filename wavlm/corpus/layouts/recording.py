"""What a layout reader returns: recordings with key and speaker, and with text, phones and more if they are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

UNKNOWN_SPEAKER = "unknown"


class Phone(NamedTuple):
    """A timed phone segment of a recording, in seconds from its start (of a region: from the start of the region)."""

    start_s: float
    end_s: float
    phone: str


@dataclass(frozen=True)
class Recording:
    """A region of an audio file of a corpus; without start, end and channel: all of the file.

    `path` is relative to the folder that was read.
    """

    key: str
    path: PurePosixPath
    speaker: str
    text: str | None = None
    phones: tuple[Phone, ...] | None = None
    split: str | None = None  # `train`, `valid` or `test`, if the publisher says it
    language: str | None = None  # as the publisher writes it
    start_s: float | None = None  # seconds in the file; None: from the beginning
    end_s: float | None = None  # None: to the end
    channel: int | None = None  # counted from 1; None: as the corpus spec says
    part: str = ""  # the publisher's partition as it is written, such as `test` or `fold1`; of corpora for evaluations
    target: str | None = None  # what a task has to predict: JSON as `wavlm.corpus.layouts.target` writes it
