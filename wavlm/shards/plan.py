"""Assign recordings to tars, from the manifest alone, before any recording is decoded.

The plan lies in a file beside the tars: a record batch of manifest rows per part. So a part is a number that travels to
a worker, which reads its own rows. The file is temporary, and is removed when the folder is sealed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.errors import BadDataError
from wavlm.shards.order import COLUMNS, RecordingPlaces, Rows, fill_tars
from wavlm.shards.rearrange import rearrange
from wavlm.specs import SAMPLE_RATE_HZ, ShardSpec
from wavlm.storage.batches import read_batch
from wavlm.storage.texts import find_repeats

if TYPE_CHECKING:  # building a corpus needs libraries that reading shards does not need
    from wavlm.corpus.manifest import ManifestRow

PLAN = ".plan.arrow.partial"
MAX_KEY_CHARACTERS = 200  # with the suffixes of cuts, joins and tar members it stays below the 255 of a file name
KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_CHARACTERS}}}")


@dataclass(frozen=True)
class TarPart:
    """One planned tar: its file name without suffix, and where its recordings are listed."""

    stem: str
    plan: Path
    number: int  # of its batch in the plan
    num_rows: int
    seconds: float  # of audio, estimated for recordings whose length the manifest does not know

    def read_rows(self) -> tuple[ManifestRow, ...]:
        """Its recordings, in order. They are read from the plan each time."""
        from wavlm.corpus.manifest import rows_of_table

        return tuple(rows_of_table(read_batch(self.plan, self.number), self.plan))

    def __str__(self) -> str:
        return f"{self.stem} ({self.num_rows} recordings)"


def write_plan(corpus_dir: Path, spec: ShardSpec, scratch: Path) -> tuple[TarPart, ...]:
    """The parts that a corpus makes; their rows lie in a file in `scratch`, which is replaced.

    The plan does not depend on the number of workers. A rejected recording never moves another one to another tar.

    Of a corpus that grows, each recording that ever was is planned as it was when it came, generation by generation, so
    that its parts stay what they are. Then what was removed is left out, and what was changed is replaced by its row.
    Raises BadDataError (MANIFEST, CHECKSUM, DUP_KEY, KEY_BAD).
    """
    from wavlm.corpus.growth.history import num_versions, stream_places
    from wavlm.corpus.manifest import SCHEMA, num_recordings, stream_manifest

    here = RecordingPlaces.of(stream_manifest(corpus_dir, COLUMNS), num_recordings(corpus_dir))
    _check_keys(corpus_dir, here)
    history = stream_places(corpus_dir, COLUMNS)
    places = here if history is None else RecordingPlaces.of(history, num_versions(corpus_dir))
    rows_of = _find_rows(places, here) if history is not None else None
    stems, groups, seconds = [], [], []
    for stem, group in fill_tars(places, spec.shard_megabytes):
        rows = group if rows_of is None else rows_of[group]
        if len(rows := rows[rows >= 0]):
            stems.append(stem)
            groups.append(rows)
            seconds.append(float(here.seconds[rows].sum()))
    del here, places
    rearrange(stream_manifest(corpus_dir), SCHEMA, groups, scratch / PLAN)
    return tuple(
        TarPart(stem, scratch / PLAN, number, len(group), length)
        for number, (stem, group, length) in enumerate(zip(stems, groups, seconds, strict=True))
    )


def digest_inputs(stem: str, rows: Sequence[ManifestRow], spec: ShardSpec, channels: str | int, role: str) -> str:
    """The digest of all that a part is made from: the same inputs give the same tar."""
    said = [[row.key, repr(row.content), row.speaker, row.language, row.split, row.text, row.phones] for row in rows]
    # The default rate is left out, so that shards of before it could be chosen are those of today.
    left_out = {"sample_rate_hz"} if spec.sample_rate_hz == SAMPLE_RATE_HZ else None
    value = [stem, spec.model_dump(mode="json", exclude=left_out), channels, role, said]
    return hashlib.sha256(json.dumps(value, allow_nan=False).encode()).hexdigest()


def _find_rows(places: RecordingPlaces, here: RecordingPlaces) -> Rows:
    """The row of the manifest that has each place now; -1 if its recording is gone: (places,)."""
    found = np.full(len(places), -1, np.int32)
    for generation in np.unique(places.generations):
        wanted = np.flatnonzero(places.generations == generation)
        rows = np.flatnonzero(here.generations == generation)
        order = rows[np.argsort(here.keys[rows])]
        if len(order):
            at = np.minimum(np.searchsorted(here.keys[order], places.keys[wanted]), len(order) - 1)
            is_there = here.keys[order[at]] == places.keys[wanted]
            found[wanted[is_there]] = order[at[is_there]]
    return found


def _check_keys(corpus_dir: Path, here: RecordingPlaces) -> None:
    from wavlm.corpus.manifest import stream_manifest

    def read() -> Iterator[pa.Array]:
        return (batch["key"] for batch in stream_manifest(corpus_dir, ["key"]))

    if twice := find_repeats(here.keys, read):
        raise BadDataError(
            "DUP_KEY",
            f"{len(twice)} keys name several recordings each, the first is {twice[0]}; in the manifest; "
            "make the corpus again",
        )
    bad = [key for keys in read() for key in _find_bad(keys)]
    if bad:
        raise BadDataError(
            "KEY_BAD",
            f"{len(bad)} keys are not allowed, the first is {bad[0]!r}, expected {KEY.pattern}; in the manifest; "
            "make the corpus again",
        )


def _find_bad(keys: pa.Array) -> Sequence[str]:
    is_good = pc.match_substring_regex(keys, rf"\A{KEY.pattern}\z")
    bad: Iterable[str] = keys.filter(pc.invert(is_good)).to_pylist()
    return list(bad)
