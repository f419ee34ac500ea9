"""Batched extraction: each waveform gets its own rows, in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from wavlm.features.chunk import group_by_length
from wavlm.features.extract import ExtractionPlan, cut_chunks, extract_batched, extraction_plan
from wavlm.features.frame_function import FrameFunction

ALONE = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
TOGETHER = replace(ALONE, batch_samples=40_000, chunk_samples=100_000)


def waveforms(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(int(n)).astype(np.float32) for n in rng.integers(400, 20_000, count)]


def first_samples(waveforms: Tensor, num_samples: Tensor | None) -> Tensor:
    """The first sample of each frame at 100 Hz; NaN for padding."""
    frames = waveforms.unfold(1, 400, 160)[:, :, :1].clone()
    if num_samples is not None:
        ends = (num_samples[:, None] - 400) // 160
        frames[torch.arange(frames.shape[1])[None] > ends] = float("nan")
    return frames


@pytest.mark.parametrize("plan", [ALONE, TOGETHER])
def test_every_waveform_gets_its_own_rows_in_order(plan: ExtractionPlan) -> None:
    given = waveforms(40)
    chunks = ((len(chunk), chunk) for chunk in cut_chunks(given, len, plan))
    found = []
    for tag, rows in extract_batched(chunks, FrameFunction(first_samples, 100), plan):
        assert tag == len(rows)
        found += rows
    assert len(found) == len(given)
    for waveform, rows in zip(given, found, strict=True):
        expected = waveform[:-399:160][:, None]
        np.testing.assert_array_equal(rows, expected)


def test_a_waveform_that_is_too_long_is_computed_in_pieces_and_put_together() -> None:
    given = [np.arange(n, dtype=np.float32) for n in (9000, 700, 6400, 6479, 6480)]
    function = FrameFunction(lambda waves, _: waves.unfold(1, 400, 320)[:, :, :1], 50, piece_samples=3200)
    ((_, found),) = extract_batched([(None, given)], function, TOGETHER)
    for waveform, rows in zip(given, found, strict=True):
        np.testing.assert_array_equal(rows[:, 0], waveform[:-399:320])


def test_batches_hold_every_waveform_once_and_stay_below_the_limit() -> None:
    lengths = [len(waveform) for waveform in waveforms(100, seed=1)]
    groups = group_by_length(lengths, 60_000)
    assert sorted(number for group in groups for number in group) == list(range(100))
    for group in groups:
        assert len(group) * max(lengths[number] for number in group) <= 60_000
    padded = sum(len(group) * max(lengths[number] for number in group) for group in groups)
    assert padded < 1.1 * sum(lengths)
    assert group_by_length([5, 9, 7], 0) == [[1], [2], [0]]


def test_a_function_with_another_number_of_frames_is_refused() -> None:
    function = FrameFunction(lambda waves, _: waves.unfold(1, 400, 160)[:, 1:], 100)
    with pytest.raises(RuntimeError, match="37 frames of 6400 samples, expected 38 at 100"):
        list(extract_batched([(None, [np.zeros(6400, np.float32)])], function, ALONE))


def test_without_a_gpu_each_worker_computes_one_utterance_at_a_time() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert extraction_plan(workers=3, gpus=8) == replace(ALONE, processes=3)


@pytest.mark.parametrize(("gpus", "processes"), [(0, 1), (1, 1), (3, 3), (8, 4)])
def test_each_gpu_has_a_process_whose_threads_are_the_workers(
    monkeypatch: pytest.MonkeyPatch, gpus: int, processes: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    plan = extraction_plan(workers=6, gpus=gpus)
    assert (plan.device, plan.processes, plan.threads) == ("cuda", processes, 6)
