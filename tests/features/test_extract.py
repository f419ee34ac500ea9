"""Many waveforms through a function: what comes back belongs to what went in."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from wavlm.features.extract import (
    ExtractionPlan,
    chunks,
    extract_batched,
    extraction_plan,
    group_by_length,
    open_ordered_map,
)
from wavlm.features.frames import FrameFunction

ALONE = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
TOGETHER = replace(ALONE, batch_samples=40_000, chunk_samples=100_000)


def waveforms(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(int(n)).astype(np.float32) for n in rng.integers(400, 20_000, count)]


def first_samples(waveforms: Tensor, num_samples: Tensor | None) -> Tensor:
    """Of each frame at 100 Hz its first sample, and nothing for padding."""
    frames = waveforms.unfold(1, 400, 160)[:, :, :1].clone()
    if num_samples is not None:
        ends = (num_samples[:, None] - 400) // 160
        frames[torch.arange(frames.shape[1])[None] > ends] = float("nan")
    return frames


@pytest.mark.parametrize("plan", [ALONE, TOGETHER])
def test_every_waveform_gets_its_own_rows_in_order(plan: ExtractionPlan) -> None:
    given = waveforms(40)
    tagged = ((len(window), window) for window in chunks(given, len, plan))
    found = []
    for tag, rows in extract_batched(tagged, FrameFunction(first_samples, 100), plan):
        assert tag == len(rows)
        found += rows
    assert len(found) == len(given)
    for waveform, rows in zip(given, found, strict=True):
        expected = waveform[:-399:160][:, None]
        np.testing.assert_array_equal(rows, expected)


def test_what_is_too_long_is_heard_in_pieces_and_comes_back_whole() -> None:
    given = [np.arange(n, dtype=np.float32) for n in (9000, 700, 6400, 6479, 6480)]
    function = FrameFunction(lambda waves, _: waves.unfold(1, 400, 320)[:, :, :1], 50, piece_samples=3200)
    ((_, found),) = extract_batched([(None, given)], function, TOGETHER)
    for waveform, rows in zip(given, found, strict=True):
        np.testing.assert_array_equal(rows[:, 0], waveform[:-399:320])


def test_batches_hold_every_waveform_once_and_no_more_than_they_may() -> None:
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


def test_without_a_gpu_the_workers_share_the_work_one_utterance_at_a_time() -> None:
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


def test_threads_work_ahead_of_the_reader_but_keep_the_order() -> None:
    seen = set()

    def work(number: int) -> int:
        seen.add(threading.current_thread())
        return number * number

    with open_ordered_map(replace(TOGETHER, threads=2)) as each:
        results = each(work, range(100))
        assert next(results) == 0
        assert list(results) == [number * number for number in range(1, 100)]
    assert threading.current_thread() not in seen


def test_no_more_is_read_ahead_than_a_few_items_a_thread() -> None:
    read = []

    def items() -> object:
        for number in range(1000):
            read.append(number)
            yield number

    with open_ordered_map(replace(TOGETHER, threads=2)) as each:
        assert next(each(abs, items())) == 0
        assert len(read) < 20


def test_an_error_in_a_thread_arrives_in_its_place() -> None:
    with open_ordered_map(replace(TOGETHER, threads=2)) as each:
        results = each(lambda number: 1 // (5 - number), range(50))
        assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)
