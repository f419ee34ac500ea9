"""Which files of an artifact are large: they are fetched when something is made from them, and not before."""

from __future__ import annotations

import re

# What a checkpoint holds is of use to the machine alone that trains: it is not pushed.
NOT_PUSHED = re.compile(r"snapshots/.*", re.DOTALL)
_BULK = {
    "corpus": re.compile(r"audio/.*", re.DOTALL),
    "shards": re.compile(r"[^/]*\.tar|parts/.*"),
    "mixtures": re.compile(r"[^/]*\.tar"),
    "simulation": re.compile(r"shards/[^/]*\.tar|talks/tracks/.*", re.DOTALL),
    "labels": re.compile(r"[^/]*\.parquet"),
}
_PART_RECORD = re.compile(r"parts/.*")
_CACHED = re.compile(r"[^/]*\.tar")


def is_bulk(kind: str, name: str) -> bool:
    """Whether a file, by its name relative to its folder, is a large one."""
    pattern = _BULK.get(kind)
    return bool(pattern and pattern.fullmatch(name))


def is_cached(kind: str, name: str) -> bool:
    """Whether readers can take a file through the cache of a machine."""
    return kind in {"shards", "mixtures"} and bool(_CACHED.fullmatch(name))


def is_part_record(name: str) -> bool:
    """Whether a file of shards says what a tar is made of."""
    return bool(_PART_RECORD.fullmatch(name))
