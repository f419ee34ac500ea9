"""Labels of a corpus that has grown: files of the same tars and the same codebook are taken over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labels.test_build import LOCAL_PLAN, MFCC, codebook, contents
from tests.mini_shards import tones, write_shards
from wavlm.labels.build import build_labels
from wavlm.labels.facts import LabelsFacts


def label(shards: Path, book: Path, out: Path, *siblings: Path) -> LabelsFacts:
    out.mkdir()
    return build_labels(book, MFCC, shards, None, out, LOCAL_PLAN, siblings=siblings)


def sealed(folder: Path) -> dict[str, bytes]:
    """The content of a folder as it is sealed: without the notes of an attempt."""
    return {name: blob for name, blob in contents(folder).items() if not name.endswith(".sha256")}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", tones(7) + tones(2, seed=1, split="valid"))


def test_labels_that_are_taken_over_are_the_same(tmp_path: Path, shards: Path) -> None:
    book = codebook(shards, tmp_path / "book")
    first = label(shards, book, tmp_path / "first")
    second = label(shards, book, tmp_path / "second", tmp_path / "first")
    num_files = len(list(shards.glob("*.tar")))
    assert (first.files_reused, second.files_reused) == (0, num_files)
    made = sealed(tmp_path / "first")
    assert made == sealed(tmp_path / "second")
    assert any(name.startswith("quality/") for name in made)  # tables of phones come along


def test_labels_of_another_codebook_are_not_taken_over(tmp_path: Path, shards: Path) -> None:
    label(shards, codebook(shards, tmp_path / "book"), tmp_path / "first")
    other = codebook(shards, tmp_path / "other", seed=1)
    facts = label(shards, other, tmp_path / "second", tmp_path / "first")
    assert facts.files_reused == 0
    label(shards, other, tmp_path / "third")
    assert sealed(tmp_path / "second") == sealed(tmp_path / "third")
