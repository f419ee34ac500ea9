"""The columns of a split: what the index of the shards says, and no more is imported or held for it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.mini_shards import tones, write_shards
from wavlm.errors import BadDataError
from wavlm.loader.index import open_index


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two corpora of several languages. The second one has a train utterance that the first one holds out."""
    names = ("en", "", "de")
    first = [*tones(9, 1, 0.1), *tones(3, 2, 0.1, "valid")]
    second = [*tones(7, 3, 0.1), replace(first[10], key="copy", split="train"), *tones(2, 4, 0.1, "valid")]
    corpora = [[replace(item, language=names[at % 3]) for at, item in enumerate(some)] for some in (first, second)]
    return [write_shards(tmp_path / str(number), some) for number, some in enumerate(corpora)]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_the_columns_say_what_the_indexes_say(folders: list[Path], tmp_path: Path, split: str) -> None:
    index = open_index(folders, split, tmp_path / "cache")  # type: ignore[arg-type]
    rows = [
        (corpus, row, found)
        for corpus, folder in enumerate(folders)
        for row, found in enumerate(pq.read_table(folder / "index.parquet").to_pylist())
        if found["split"] == split and found["key"] != "copy"
    ]
    columns = index.columns
    assert columns["corpus"].tolist() == [corpus for corpus, _, _ in rows]
    assert columns["row"].tolist() == [row for _, row, _ in rows]
    assert list(index.keys) == [found["key"] for _, _, found in rows]
    for name in ("offset", "size", "samples"):
        assert columns[name].tolist() == [found[name] for _, _, found in rows]
    assert [index.languages[number] for number in columns["language"]] == [
        found["language"] or "unknown" for _, _, found in rows
    ]
    shards = [(corpus, found["shard"]) for corpus, _, found in rows]
    assert [(c, index.shards[c][s]) for c, s in zip(columns["corpus"], columns["shard"], strict=True)] == shards
    ends = [at + 1 for at in range(len(shards)) if at + 1 == len(shards) or shards[at] != shards[at + 1]]
    assert columns["shard_ends"].tolist() == ends
    assert index.copies_of_valid == (split == "train")
    assert index.digest == sha256("".join(f"{found['key']}\n" for _, _, found in rows).encode()).hexdigest()


def test_rows_of_a_tar_that_are_not_beside_each_other_are_refused(folders: list[Path], tmp_path: Path) -> None:
    path = folders[1] / "index.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array([0, 4, 1, *range(5, len(table))])), path)
    with pytest.raises(BadDataError, match=rf"INDEX_UNREADABLE: the rows of a tar .*; at {path}"):
        open_index(folders, "train", tmp_path / "cache")


def test_making_and_opening_the_columns_does_not_import_pandas(folders: list[Path], tmp_path: Path) -> None:
    """pyarrow would, in each rank: 27 MB and 0.2 s."""
    pytest.importorskip("pandas")
    script = (
        "import sys; from pathlib import Path; from wavlm.loader.index import open_index;"
        f"index = open_index([Path(name) for name in {list(map(str, folders))}], 'train', Path({str(tmp_path)!r}));"
        "print(len(index), 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["16", "False"]
