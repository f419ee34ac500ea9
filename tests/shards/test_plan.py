"""The plan of the tars, from columns: the same as by sorting and filling rows one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wavlm.corpus.manifest import MANIFEST, ManifestRow, write_manifest
from wavlm.errors import BadDataError
from wavlm.shards.plan import TarPart, write_plan
from wavlm.shards.rearrange import rearrange
from wavlm.specs import ShardSpec
from wavlm.storage.batches import num_batches, read_batch

SPEC = ShardSpec(min_seconds=1.0, max_seconds=30.0, shard_megabytes=2)


def some_rows(count: int, seed: int) -> list[ManifestRow]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [some_row(number, chance) for number in range(count)]


def some_row(number: int, chance: random.Random) -> ManifestRow:
    file = chance.choice([None, None, f"f{chance.randrange(20)}.flac"])
    is_read = chance.random() < 0.9
    return ManifestRow(
        key=f"k{number:04d}",
        path=file or f"x{number}.{chance.choice(['flac', 'MP3', 'wav'])}",
        speaker=chance.choice(["unknown", "ann", "ärger", "Zoe", "zoe", ""]),
        split=chance.choice(["train", "train", "valid"]),
        text=chance.choice([None, "a text"]),
        phones=None,
        size_bytes=chance.randrange(10**6),
        sha256=f"{number:064d}",
        sample_rate_hz=16000 if is_read else -1,
        num_samples=chance.randrange(10**6) if is_read else -1,
        start_s=chance.choice([None, 50 * chance.random()]) if file else None,
        end_s=chance.choice([None, 50 + chance.random()]) if file else None,
    )


def seconds_of(row: ManifestRow) -> float:
    if row.num_samples >= 0:
        return row.num_samples / row.sample_rate_hz
    if row.start_s is not None and row.end_s is not None:
        return row.end_s - row.start_s
    return row.size_bytes / {"wav": 32_000, "flac": 20_000, "mp3": 12_000}[row.path.lower().rpartition(".")[2]]


def plan_by_rows(rows: Sequence[ManifestRow]) -> Iterator[tuple[str, list[str]]]:
    """The plan as README and architecture describe it, for rows in memory."""
    for split in ("train", "valid"):
        files: dict[str, list[ManifestRow]] = {}
        for row in rows:
            if row.split == split:
                files.setdefault(row.path, []).append(row)
        ordered = [sorted(found, key=lambda row: (row.speaker, row.start_s or 0.0)) for found in files.values()]
        tars: list[list[str]] = [[]]
        filled = 0.0
        for found in sorted(ordered, key=lambda found: found[0].speaker):
            sizes = [20_000 * seconds_of(row) for row in found]
            is_new = filled + sum(sizes) > 2e6
            for row, size in zip(found, sizes, strict=True):
                if tars[-1] and (is_new or filled + size > 2e6):
                    tars.append([])
                    filled = 0.0
                tars[-1].append(row.key)
                filled += size
                is_new = False
        yield from ((f"{split}-{number:06d}", tar) for number, tar in enumerate(tars) if tar)


def plan(folder: Path, rows: Sequence[ManifestRow]) -> tuple[TarPart, ...]:
    write_manifest(folder / MANIFEST, rows, "test", "speakers")
    return write_plan(folder, SPEC, folder)


@pytest.mark.parametrize("seed", range(4))
def test_the_plan_is_that_of_rows_in_memory(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.shards.rearrange.RUN_ROWS", 50)
    monkeypatch.setattr("wavlm.shards.order.STEP_FILES", 7)
    rows = some_rows(400, seed)
    parts = plan(tmp_path, rows)
    assert {part.stem: [row.key for row in part.read_rows()] for part in parts} == dict(plan_by_rows(rows))
    of_key = {row.key: row for row in rows}
    for part in parts:
        assert part.read_rows() == tuple(of_key[row.key] for row in part.read_rows())
        assert part.seconds == pytest.approx(sum(map(seconds_of, part.read_rows())))
        assert part.num_rows == len(part.read_rows())


def test_keys_are_looked_at_before_anything_is_decoded(tmp_path: Path) -> None:
    rows = some_rows(20, 0)
    with pytest.raises(BadDataError, match="DUP_KEY: 1 keys name several recordings each, the first is k0003"):
        plan(tmp_path, [*rows, rows[3]])
    bad = ManifestRow(**{**vars(rows[0]), "key": "a\n"})
    with pytest.raises(BadDataError, match=r"KEY_BAD: 1 keys are not allowed, the first is 'a\\n'"):
        plan(tmp_path, [*rows, bad])


def test_nothing_but_the_plan_is_left(tmp_path: Path) -> None:
    plan(tmp_path, some_rows(100, 0))
    assert {path.name for path in tmp_path.iterdir()} == {MANIFEST, ".plan.arrow.partial"}


@pytest.mark.parametrize("run_rows", [1, 10, 1000])
def test_rows_come_in_the_order_that_is_asked_for(
    tmp_path: Path, run_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.shards.rearrange.RUN_ROWS", run_rows)
    table = pa.table({"name": [f"n{number}" for number in range(200)]})
    order = np.random.default_rng(0).permutation(200)[:150].astype(np.int32)
    groups = np.split(order, [1, 60, 61, 149])
    rearrange(table.to_batches(max_chunksize=17), table.schema, groups, tmp_path / "out.arrow")
    assert num_batches(tmp_path / "out.arrow") == 5
    found = [read_batch(tmp_path / "out.arrow", number)["name"].to_pylist() for number in range(5)]
    assert found == [[f"n{number}" for number in group] for group in groups]
