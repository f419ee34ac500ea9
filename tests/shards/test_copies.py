"""What shares audio with held-out speech is found, however the other corpus cuts, joins or lists it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.shards.corpora import SPEC, Clip, encode_audio, noise, write_corpus
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards, find_copies_of_valid, read_index
from wavlm.shards.recordings import Intake
from wavlm.specs import ShardSpec

LONG = encode_audio(np.stack([noise(12.0, 1), noise(12.0, 2)], axis=1))
OTHER = encode_audio(noise(2.0, 3))


def pack(folder: Path, clips: list[Clip], spec: ShardSpec = SPEC, channels: Any = "mean") -> Path:
    corpus, out = write_corpus(folder / "corpus", clips), folder / "out"
    build_shards(spec, corpus, out, 1, no_progress, Intake(channels, stall_seconds=0))
    return out


def region(key: str, start_s: float, end_s: float, **fields: Any) -> Clip:
    return Clip(key, LONG, start_s=start_s, end_s=end_s, file="long", **fields)


def copies(*folders: Path) -> list[set[str]]:
    masks = find_copies_of_valid(folders)
    return [{str(key) for key in read_index(folder).keys[mask]} for folder, mask in zip(folders, masks, strict=True)]


@pytest.mark.parametrize("together", [1, 2, 1000])
def test_regions_pieces_and_joins_that_share_samples_with_a_valid_region_are_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr("wavlm.shards.copies.SETTLED_TOGETHER", together)
    monkeypatch.setattr("wavlm.shards.index.BATCH_ROWS", together)
    held = pack(tmp_path / "held", [region("v", 4.0, 5.0, split="valid"), region("t", 6.0, 7.0)])
    pieces = pack(tmp_path / "pieces", [Clip("whole", LONG, file="long"), Clip("other", OTHER)])
    regions = [region(f"r{n}", 3.5 + n / 2, 4.0 + n / 2) for n in range(4)]
    lists = pack(tmp_path / "lists", [*regions, region("one", 4.2, 4.9, channel=1)])
    joins = SPEC.model_copy(update={"join_seconds": 2.5})
    joined = pack(tmp_path / "joined", [region("a", 1.0, 2.0), region("b", 4.9, 5.9), region("c", 8.0, 9.0)], joins)
    assert copies(held, pieces, lists, joined) == [set(), {"whole-p001"}, {"r1", "r2", "one"}, {"a-j2"}]
    assert copies(pieces, lists) == [set(), set()]


def test_one_channel_of_a_call_is_no_copy_of_the_other(tmp_path: Path) -> None:
    held = pack(tmp_path / "held", [region("v", 4.0, 5.0, split="valid", channel=1)])
    rows = [region(f"c{channel}", 4.5, 6.0, channel=channel) for channel in (1, 2)]
    assert copies(held, pack(tmp_path / "rows", [*rows, region("mean", 4.5, 6.0)])) == [set(), {"c1", "mean"}]


@pytest.mark.parametrize("digests", [["", "a", "ab", "ab\0", "a" * 64], ["0" * 63 + last for last in "01234"]])
def test_only_equal_digests_are_copies_whatever_their_length(tmp_path: Path, digests: list[str]) -> None:
    """A digest has 64 digits. In an index that somebody else wrote it may have others."""
    held = pack(tmp_path / "held", [Clip(f"v{n}", encode_audio(noise(1, n)), split="valid") for n in range(5)])
    other = pack(tmp_path / "other", [Clip(f"t{n}", encode_audio(noise(1, 9 + n))) for n in range(5)])
    for folder, shown in ((held, digests[:3] * 2), (other, digests)):
        index = pq.read_table(folder / "index.parquet")
        place = index.schema.get_field_index("sha256")
        pq.write_table(index.set_column(place, "sha256", pa.array(shown[: len(index)])), folder / "index.parquet")
    assert find_copies_of_valid([held, other])[1].tolist() == [digest in digests[:3] for digest in digests]
