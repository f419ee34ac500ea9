"""Assign recordings to tars, from the manifest alone, before any recording is decoded."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from wavlm.errors import BadDataError
from wavlm.specs import ShardSpec

if TYPE_CHECKING:  # building a corpus needs libraries that reading shards does not need
    from wavlm.corpus.growth.history import Version
    from wavlm.corpus.manifest import ManifestRow

    Place: TypeAlias = ManifestRow | Version

FLAC_BYTES_PER_SECOND = 20_000  # of 16 kHz mono speech; measured: 18,900
MAX_KEY_CHARACTERS = 200  # with the suffixes of cuts, joins and tar members it stays below the 255 of a file name
KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_CHARACTERS}}}")

# Bytes per second of audio, for recordings whose length the manifest does not know. These are estimates:
# an error only makes a tar larger or smaller.
BYTES_PER_SECOND = {".wav": 32_000, ".flac": 20_000, ".g722": 8_000}
LOSSY_BYTES_PER_SECOND = 12_000
MAX_ESTIMATE_SECONDS = 3600.0  # for a region whose times nobody has checked


@dataclass(frozen=True)
class TarPart:
    """One planned tar: its file name without suffix, and its recordings in order."""

    stem: str
    rows: tuple[ManifestRow, ...]

    @property
    def seconds(self) -> float:
        """Seconds of audio, estimated for recordings whose length the manifest does not know."""
        return sum(_seconds(row) for row in self.rows)

    def __str__(self) -> str:
        return f"{self.stem} ({len(self.rows)} recordings from {self.rows[0].key})"


def read_plan(corpus_dir: Path, spec: ShardSpec) -> tuple[list[ManifestRow], tuple[TarPart, ...]]:
    """The manifest of a corpus and the parts that it makes. The history of a grown corpus is needed only here.

    Raises BadDataError (MANIFEST, CHECKSUM, DUP_KEY, KEY_BAD).
    """
    from wavlm.corpus.growth.history import read_history
    from wavlm.corpus.manifest import read_manifest

    rows, history = read_manifest(corpus_dir), read_history(corpus_dir)
    return rows, plan_parts(rows, spec, history.places if history else ())


def plan_parts(rows: Sequence[ManifestRow], spec: ShardSpec, places: Sequence[Version] = ()) -> tuple[TarPart, ...]:
    """Sort recordings by split, speaker and manifest order, and fill one tar after the other.

    The regions of a file stand together, in the order of speaker and time, so that a part decodes the file once. They
    are in several parts only if they do not fit into one.

    A tar is full when its estimated FLAC reaches `shard_megabytes`. The plan does not depend on the number
    of workers. A rejected recording never moves another recording to another tar.

    `places`: of a corpus that grows, each recording that ever was, as it was when it came. Each generation is planned
    from these, so that its parts stay what they are. Then what was removed is left out, and what was changed is
    replaced by its row.
    Raises BadDataError (DUP_KEY, KEY_BAD).
    """
    _check_keys(rows)
    here = {(row.key, row.generation): row for row in rows}
    parts: list[TarPart] = []
    for stem, group in _plan_generations(places or rows, spec):
        if present := tuple(here[item.key, item.generation] for item in group if (item.key, item.generation) in here):
            parts.append(TarPart(stem, present))
    return tuple(parts)


def digest_inputs(part: TarPart, spec: ShardSpec, channels: str | int, role: str) -> str:
    """The digest of all that a part is made from: the same inputs give the same tar."""
    rows = [
        [row.key, repr(row.content), row.speaker, row.language, row.split, row.text, row.phones] for row in part.rows
    ]
    value = [part.stem, spec.model_dump(mode="json"), channels, role, rows]
    return hashlib.sha256(json.dumps(value, allow_nan=False).encode()).hexdigest()


def _plan_generations(rows: Sequence[Place], spec: ShardSpec) -> Iterator[tuple[str, list[Place]]]:
    """The stem of each tar, and what has a place in it."""
    for generation in sorted({row.generation for row in rows}):
        for split in sorted({row.split for row in rows if row.generation == generation}):
            chosen = [row for row in rows if (row.generation, row.split) == (generation, split)]
            prefix = split if generation == 1 else f"{split}-g{generation:03d}"
            for number, group in enumerate(_fill_tars(_group_by_file(chosen), spec.shard_megabytes * 1e6)):
                yield f"{prefix}-{number:06d}", group


def _group_by_file(rows: Iterable[Place]) -> list[list[Place]]:
    """The rows of each file, in the order of the first speaker."""
    by_path: dict[str, list[Place]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    files = [sorted(found, key=lambda row: (row.speaker, row.start_s or 0.0)) for found in by_path.values()]
    return sorted(files, key=lambda found: found[0].speaker)


def _fill_tars(files: Iterable[list[Place]], limit_bytes: float) -> Iterable[list[Place]]:
    group: list[Place] = []
    size_bytes = 0.0
    for rows in files:
        sizes = [_seconds(row) * FLAC_BYTES_PER_SECOND for row in rows]
        is_new = size_bytes + sum(sizes) > limit_bytes
        for row, estimate in zip(rows, sizes, strict=True):
            if group and (is_new or size_bytes + estimate > limit_bytes):
                yield group
                group, size_bytes = [], 0.0
            group.append(row)
            size_bytes += estimate
            is_new = False
    if group:
        yield group


def _seconds(row: Place) -> float:
    if row.num_samples >= 0:
        return row.seconds
    if row.start_s is not None and row.end_s is not None:
        return min(max(0.0, row.end_s - row.start_s), MAX_ESTIMATE_SECONDS)
    suffix = Path(row.path).suffix.lower()
    return row.size_bytes / BYTES_PER_SECOND.get(suffix, LOSSY_BYTES_PER_SECOND)


def _check_keys(rows: Sequence[ManifestRow]) -> None:
    if twice := sorted(key for key, count in Counter(row.key for row in rows).items() if count > 1):
        raise BadDataError(
            "DUP_KEY",
            f"{len(twice)} keys name several recordings each, the first is {twice[0]}; in the manifest; "
            "make the corpus again",
        )
    if bad := [row.key for row in rows if not KEY.fullmatch(row.key)]:
        raise BadDataError(
            "KEY_BAD",
            f"{len(bad)} keys are not allowed, the first is {bad[0]!r}, expected {KEY.pattern}; in the manifest; "
            "make the corpus again",
        )
