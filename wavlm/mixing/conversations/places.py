"""Where a stored simulation has its corpus and its shards, as readers of labelled corpora take them."""

from __future__ import annotations

from pathlib import Path


def corpus_of(folder: Path) -> Path:
    """The corpus folder of a stored simulation."""
    return folder / "corpus"


def shards_of(folder: Path) -> Path:
    """The shards folder of a stored simulation."""
    return folder / "shards"
