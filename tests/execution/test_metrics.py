"""The curve on disk has each update once, whole, whatever happened while it was written."""

from pathlib import Path

import pytest

from wavlm.errors import BadDataError
from wavlm.execution import metrics


def test_lines_come_back_in_order_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    records: list[metrics.MetricsRecord] = [
        {"update": 1, "train/loss": 0.1 + 0.2},
        {"update": 2, "valid/loss": 1e-300},
    ]
    for record in records:
        metrics.append(path, record)
    assert list(metrics.read(path)) == records


def test_a_curve_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert list(metrics.read(tmp_path / "none.jsonl")) == []
    assert metrics.read_text(tmp_path / "none.jsonl", 3) == ""


def test_later_lines_and_half_a_line_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for update in (10, 20, 30):
        metrics.append(path, {"update": update})
    with path.open("a") as file:
        file.write('{"update": 40, "trai')
    metrics.restore(path, metrics.read_text(path, 20))
    metrics.append(path, {"update": 30, "again": True})
    assert list(metrics.read(path)) == [
        {"update": 10},
        {"update": 20},
        {"update": 30, "again": True},
    ]


def test_nan_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics.append(path, {"update": 1})
    with pytest.raises(ValueError, match="JSON"):
        metrics.append(path, {"update": 2, "train/loss": float("nan")})
    assert path.read_bytes() == b'{"update": 1}\n'


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"3", b"\xff", b'{"update": "1"}', b'{"update": 1, "train/lo', b"[" * 100_000]
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics.append(path, {"update": 1})
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(BadDataError, match=f"CURVE_BROKEN: .*line 2 of {path}"):
        list(metrics.read(path))
    assert metrics.parse_line(line) is None
