"""Kind M, what the digest of a folder leaves out: a hidden table gave another corpus under the same key, so did the
name of the folder; a file that one user could not read stayed unreadable for another.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.corpus.corpora import grow, of_folder
from wavlm.corpus import hashing as hashing_module
from wavlm.corpus import reading as reading_module
from wavlm.corpus.build import build_corpus
from wavlm.corpus.contents import find_contents, read_contents
from wavlm.corpus.digests import Cache
from wavlm.corpus.layouts import open_layout, read_layout
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.specs.layouts import GenericLayout
from wavlm.storage.files import sha256_of


def layout_of(table: str, **fields: object) -> GenericLayout:
    return GenericLayout.model_validate({"type": "generic", "transcripts": table, **fields})


def write_table(path: Path, valid: str) -> None:
    """A table of splits, in which one speaker is held out."""
    path.parent.mkdir(exist_ok=True)
    names = [f"{name}/{clip}" for name in ("ann", "bob") for clip in range(5)]
    rows = [f"{name}\tx\t{'valid' if name.startswith(valid) else 'train'}" for name in names]
    path.write_text("\n".join(["utt_id\ttext\tsplit", *rows, ""]))


@pytest.mark.parametrize("table", [".meta/t.tsv", ".t.tsv", "up/t.tsv"])
def test_a_table_that_is_no_part_of_the_content_is_refused(tmp_path: Path, table: str) -> None:
    folder = grow(tmp_path / "raw", ["ann", "bob"])
    (folder / "up").symlink_to("..")  # a loop, so that it is not followed
    write_table(folder / table, "ann")
    spec = of_folder(folder, layout_of(table, split_column="split"), max_left_out=1.0)
    with pytest.raises(BadDataError, match=r"LAYOUT: a table is hidden, or behind a link.*t\.tsv; move it"):
        build_corpus(spec, tmp_path, tmp_path / "out", no_progress)


def test_a_table_that_changes_while_the_corpus_is_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = grow(tmp_path / "raw", ["ann", "bob"])
    write_table(folder / "t.tsv", "ann")

    def edit_and_read(*arguments: object) -> object:
        write_table(folder / "t.tsv", "bob")
        return open_layout(*arguments)

    monkeypatch.setattr(reading_module, "open_layout", edit_and_read)
    spec = of_folder(folder, layout_of("t.tsv", split_column="split"))
    with pytest.raises(BadDataError, match=r"FILE_CHANGED: .*t\.tsv"):
        build_corpus(spec, tmp_path, tmp_path / "out", no_progress)


def test_the_name_of_the_folder_does_not_decide_what_a_row_names(tmp_path: Path) -> None:
    found = []
    for name in ("clips", "moved"):
        folder = grow(tmp_path / name, ["ann"])
        for path in (folder / "ann").iterdir():
            path.rename(folder / path.name)
        (folder / "t.tsv").write_text("utt_id\ttext\n0\tA\nclips/1\tB\n2\tC\n")
        layout = layout_of("t.tsv", max_left_over_rows=1.0, max_without_row=1.0)
        found.append([item.text for item in read_layout(layout, folder)])
    assert found == [["A", None, "C", None, None]] * 2


def test_that_a_file_could_not_be_read_holds_only_for_who_cannot_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = grow(tmp_path / "raw", ["ann"]), Cache.of(tmp_path / "store", tmp_path / "raw")

    def forbid(path: Path, _: object) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(hashing_module, "hash_fenced", forbid)
    closed = read_contents(folder, cache, stall_seconds=0)
    assert set(closed.sha256s.values()) == {"unreadable"}
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert find_contents(folder, cache) == closed
    assert find_contents(folder, cache) is None
    found = read_contents(folder, cache, stall_seconds=0)
    assert found.sha256s["ann/0.flac"] == sha256_of(folder / "ann/0.flac")
    assert "unreadable" not in found.sha256s.values()
