"""Look at speech that is there: how it is arranged, how much it is, and what it sounds like. Nothing is written."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavlm.corpus.layouts import UNKNOWN_SPEAKER, Reading, Recording, read_layout
from wavlm.corpus.layouts.account import LOST
from wavlm.corpus.manifest import ManifestRow
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.progress import Progress
from wavlm.pipeline.init.containers import open_containers
from wavlm.pipeline.init.detect import detect, detect_manifest
from wavlm.pipeline.init.detected import Detected
from wavlm.pipeline.init.heads import FileHead, read_heads
from wavlm.pipeline.init.sound import Sounds, listen_to_some
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.encoding import printable

LOOKING = 0.9  # the part of the progress bar for reading heads
EXAMPLES = 3
Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Holdings:
    """What there is."""

    root: Path
    detected: Detected
    reading: Reading
    heads: tuple[FileHead, ...]  # of the files that recordings name, each once
    sounds: Sounds
    rows: tuple[ManifestRow, ...]  # of the recordings that can be read; without digests
    scale: float = 1.0  # how much larger the whole is than what was looked into

    @property
    def hours(self) -> float:
        return self.scale * sum(row.seconds for row in self.rows) / 3600

    @property
    def lengths(self) -> Seconds:
        """Seconds of each recording."""
        return np.array([row.seconds for row in self.rows])

    @property
    def is_estimated(self) -> bool:
        """Whether hours are estimated by the size of files."""
        return self.scale > 1 or any(head.is_estimated for head in self.heads)

    @property
    def broken(self) -> tuple[FileHead, ...]:
        return tuple(head for head in self.heads if head.problem)

    @property
    def num_bad(self) -> int:
        """Recordings that will be rejected, as far as heads and the sample tell."""
        unread = len(self.reading.recordings) - len(self.rows)
        heard = len(self.sounds.files)
        bad = len(self.sounds.silent) + heard - len(self.sounds.heard)
        return unread + round(len(self.rows) * bad / heard) if heard else unread

    @property
    def speakers(self) -> int:
        """Number of known speakers."""
        return len({row.speaker for row in self.rows} - {UNKNOWN_SPEAKER})

    def hours_by(self, names: Iterable[str]) -> dict[str, float]:
        """Hours per name, where `names` has one for each row; the most first."""
        hours: dict[str, float] = defaultdict(float)
        for name, row in zip(names, self.rows, strict=True):
            hours[name] += self.scale * row.seconds / 3600
        return dict(sorted(hours.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def telephone(self) -> list[str]:
        """Files of the sample that hold no more than a telephone passes, at a high rate."""
        return self.sounds.telephone(self.heads)


@dataclass(frozen=True)
class Question:
    """What a person asks to be looked at. `manifest`: a file in the folder; empty: the folder itself."""

    root: Path
    manifest: str = ""
    layout: str = ""  # its type, where the person has said it
    audio_root: str = ""  # where paths of manifests start

    @staticmethod
    def of(place: Path, layout: str = "", audio_root: str = "") -> Question:
        """Raises UsageError (NOT_FOUND)."""
        if not place.exists():
            what = f"there is no such file or folder; at {printable(str(place))}; correct the path"
            raise UsageError("NOT_FOUND", what)
        return (
            Question(place, "", layout, audio_root)
            if place.is_dir()
            else Question(place.parent, place.name, layout, audio_root)
        )


def look_at(question: Question, workers: int, progress: Progress, stall_seconds: float = STALL_SECONDS) -> Holdings:
    """What there is.

    Raises what `detect` and `read_layout` raise, and BadDataError: FILES_UNREADABLE for folders and files without
    permission, CORPUS_EMPTY if no file can be read.
    """
    detected = _detect(question)
    with tempfile.TemporaryDirectory(prefix="wavlm-init-") as scratch:
        root, scale = open_containers(detected.layout, question.root, Path(scratch))
        reading = read_layout(detected.layout, root)
        check_permission(reading, root)
        recordings = reading.recordings
        paths = list(dict.fromkeys(root / item.path for item in recordings))
        heads = read_heads(paths, workers, lambda done, total: progress(LOOKING * done, total), stall_seconds)
        by_path = {head.path: head for head in heads}
        rows = tuple(_row(item, by_path[str(root / item.path)]) for item in recordings)
        usable = tuple(row for row in rows if row.num_samples > 0)
        if not usable:
            raise _nothing_readable(question.root, heads, recordings)
        sounds = listen_to_some(
            heads, lambda done, total: progress(LOOKING + (1 - LOOKING) * done / max(total, 1), 1.0), 0, stall_seconds
        )
    return Holdings(question.root, detected, reading, tuple(heads), sounds, usable, scale)


def _detect(question: Question) -> Detected:
    if question.manifest:
        return detect_manifest(question.root, question.manifest, question.layout, question.audio_root)
    return detect(question.root, question.layout, question.audio_root)


def check_permission(reading: Reading, root: Path) -> None:
    """Raise BadDataError (FILES_UNREADABLE) for what cannot be read: a run would stop there."""
    if reading.files.count("unreadable"):
        raise BadDataError(
            "FILES_UNREADABLE",
            f"files or folders cannot be read: {reading.files.describe('unreadable')}; in {printable(str(root))}; give "
            "yourself permission, or mount the disk",
        )


def describe_problems(heads: Iterable[FileHead]) -> str:
    """Codes of problems with counts and examples in a line."""
    counts = Counter(head.problem for head in heads if head.problem)
    first: dict[str, list[str]] = defaultdict(list)
    for head in heads:
        if head.problem and len(first[head.problem]) < EXAMPLES:
            first[head.problem].append(printable(Path(head.path).name))
    return "; ".join(f"{count:,} {code} ({', '.join(first[code])})" for code, count in counts.most_common())


def num_lost(reading: Reading) -> int:
    """Audio files that the layout does not take, although somebody may miss them."""
    return reading.files.count(*LOST)


def _nothing_readable(root: Path, heads: Sequence[FileHead], recordings: Sequence[Recording]) -> BadDataError:
    what = describe_problems(heads) or f"{len(recordings)} recordings of no length"
    return BadDataError(
        "CORPUS_EMPTY",
        f"no recording can be read: {what}; in {printable(str(root))}; look at one of these files with a player",
    )


def _row(recording: Recording, head: FileHead) -> ManifestRow:
    """The row that the corpus will have, as far as the head tells; -1 samples for what cannot be read."""
    end_s = head.seconds if recording.end_s is None else min(recording.end_s, head.seconds)
    seconds = max(0.0, end_s - (recording.start_s or 0.0))
    return ManifestRow(
        key=recording.key,
        path=head.path,
        speaker=recording.speaker,
        split="train",
        text=recording.text,
        phones=None,
        size_bytes=head.size_bytes,
        sha256=head.path,
        sample_rate_hz=-1 if head.problem else head.sample_rate_hz or SAMPLE_RATE_HZ,
        num_samples=-1 if head.problem else round(seconds * head.sample_rate_hz),
        start_s=recording.start_s,
        end_s=recording.end_s,
        channel=recording.channel,
        language=recording.language,
    )
