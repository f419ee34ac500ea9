"""What is derived from times on a GPU, checked without one."""

from __future__ import annotations

import pytest

import benchmarks.harness
from benchmarks import step
from wavlm.specs.shapes import forward_flops

MATRIX_SECONDS = 2 * 8192**3 / 800e12  # a card of 800 TFLOP/s


@pytest.fixture(autouse=True)
def _a_gpu_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.harness, "device_name", lambda _: "some GPU")


def _seconds_at(mfu: float, seconds: int) -> float:
    """Of an update on 195 or 180 s of audio that reaches this share of 800 TFLOP/s."""
    audio = step.ON_GPU[seconds] * seconds
    return 3 * forward_flops(step.BASE, float(seconds)) * audio / (800e12 * mfu)


def test_mfu_is_counted_operations_over_what_the_matrix_rate_allows() -> None:
    found = {"matrix": MATRIX_SECONDS, "5": _seconds_at(0.4, 5), "15": _seconds_at(0.5, 15)}
    found["30"] = _seconds_at(0.44, 30)
    audio = {seconds: float(rows * seconds) for seconds, rows in step.ON_GPU.items()}
    figures = {figure.name: figure for figure in step.rates(found, audio)}
    assert figures["step.matrix_rate"].value == pytest.approx(800)
    assert figures["step.mfu.15s"].value == pytest.approx(0.5)
    assert figures["step.mfu.15s"].met is True
    assert figures["step.mfu.5s"].met is None
    assert figures["step.mfu_spread_5_to_30s"].value == pytest.approx(0.5 / 0.4)
    assert figures["step.mfu_spread_5_to_30s"].met is False
    # 13 x 15 s at 46.0 GFLOP a second of audio: 22.4 ms at half of 800 TFLOP/s.
    assert figures["step.audio_rate.15s"].value == pytest.approx(195 / 22.4e-3, rel=0.01)


def test_a_step_without_loss_of_rate_gets_slower_only_by_its_operations() -> None:
    found = {str(seconds): _seconds_at(0.5, seconds) for seconds in step.ON_GPU}
    audio = {seconds: float(rows * seconds) for seconds, rows in step.ON_GPU.items()}
    figures = {f.name: f for f in step.rates({**found, "matrix": MATRIX_SECONDS}, audio)}
    assert figures["step.mfu_spread_5_to_30s"].value == pytest.approx(1)
    assert figures["step.time_spread_5_to_30s"].value == pytest.approx(50.1 / 43.2, rel=0.01)


def test_every_figure_is_claimed_once() -> None:
    names = [claim.name for claim in step.CLAIMS]
    assert len(set(names)) == len(names)
