"""Long tables are written piece by piece, with the bytes that pyarrow writes in one go."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wavlm.storage.parquet import GROUP_ROWS, lean_memory, open_parquet, write_parquet

OPTIONS = {"compression": "zstd", "write_page_checksum": True}


def table_of(count: int) -> pa.Table:
    numbers = range(count)
    columns = {
        "name": [f"n{number % 300}-{number}" for number in numbers],
        "few": ["a" if number % 3 else None for number in numbers],
        "list": [list(range(number % 4)) for number in numbers],
    }
    return pa.table(columns).replace_schema_metadata({"said": "something"})


@pytest.mark.parametrize("step", [1, 999, 50_000])
@pytest.mark.parametrize("count", [0, 1, 2500])
def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path, count: int, step: int) -> None:
    table = table_of(count)
    pq.write_table(table, tmp_path / "reference.parquet", **OPTIONS)
    with open_parquet(tmp_path / "pieces.parquet", table.schema) as add:
        for start in range(0, count, step):
            add(table.slice(start, step).replace_schema_metadata(None))
    write_parquet(tmp_path / "whole.parquet", table)
    expected = (tmp_path / "reference.parquet").read_bytes()
    assert (tmp_path / "pieces.parquet").read_bytes() == expected == (tmp_path / "whole.parquet").read_bytes()


def test_a_longer_table_has_row_groups_of_one_size(tmp_path: Path) -> None:
    table = table_of(2 * GROUP_ROWS + 5)
    with open_parquet(tmp_path / "pieces.parquet", table.schema) as add:
        for start in range(0, len(table), 40_000):
            add(table.slice(start, 40_000))
    write_parquet(tmp_path / "whole.parquet", table)
    found = pq.read_metadata(tmp_path / "pieces.parquet")
    assert [found.row_group(number).num_rows for number in range(found.num_row_groups)] == [GROUP_ROWS, GROUP_ROWS, 5]
    assert (tmp_path / "pieces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pq.read_table(tmp_path / "pieces.parquet").equals(table)


def write_and_fail(path: Path) -> None:
    with open_parquet(path, table_of(0).schema) as add:
        add(table_of(5))
        raise ZeroDivisionError


def test_a_table_whose_writer_fails_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


def fail_in_lean_memory() -> None:
    with lean_memory():
        assert pa.default_memory_pool().backend_name == "system"
        raise ZeroDivisionError


def test_the_allocator_of_arrow_comes_back() -> None:
    before = pa.default_memory_pool().backend_name
    with pytest.raises(ZeroDivisionError):
        fail_in_lean_memory()
    assert pa.default_memory_pool().backend_name == before
