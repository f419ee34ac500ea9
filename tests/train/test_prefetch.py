"""Reading ahead: the same items, one ahead, with their errors, and with an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import pytest
import torch

from tests.staircases import job_of, write_corpus
from tests.train.fakes import data, job
from tests.waiting import LIMIT_SECONDS
from wavlm.engine.ranks import Ranks
from wavlm.loader.batch import PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.loader.pcm import PackedAudio
from wavlm.mixing.mix import Change
from wavlm.specs import MixSpec
from wavlm.train.prefetch import prefetch, read_ahead

CPU = torch.device("cpu")


def numbers(seen: list[int], stop: int) -> Iterator[int]:
    for number in range(stop):
        seen.append(number)
        yield number


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_all_items_come_in_their_order(length: int) -> None:
    assert list(read_ahead(iter(range(length)), lambda n: n * n)) == [n * n for n in range(length)]
    assert not readers()


def test_one_item_is_read_ahead_and_none_before_the_first_is_asked_for() -> None:
    seen: list[int] = []
    began = threading.Semaphore(0)

    def begin(number: int) -> int:
        began.release()
        return number

    items = read_ahead(numbers(seen, 9), begin)
    assert seen == []
    for number in range(4):
        assert next(items) == number
        while len(seen) < number + 2:  # the thread gets there
            assert began.acquire(timeout=LIMIT_SECONDS)
        assert seen == list(range(number + 2))


def test_the_next_item_is_begun_while_the_one_before_is_in_use() -> None:
    begun = threading.Event()

    def begin(number: int) -> int:
        if number == 1:
            begun.set()
        return number

    items = read_ahead(count(), begin)
    assert next(items) == 0
    assert begun.wait(10), "the second item waited to be asked for"


@pytest.mark.parametrize("place", ["reading", "beginning"])
def test_an_error_comes_after_the_items_before_it(place: str) -> None:
    def broken() -> Iterator[int]:
        yield from (0, 1)
        if place == "reading":
            raise ValueError("number 2 is damaged")
        yield 2

    def begin(number: int) -> int:
        if number == 2:
            raise ValueError("number 2 is damaged")
        return number

    items = read_ahead(broken(), begin)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="number 2 is damaged"):
        next(items)
    assert not readers()


def test_closing_waits_for_the_read_under_way_and_frees_the_items() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        asked.set()
        assert go_on.wait(10)
        yield from (1, 2)

    items = slow()
    coming = read_ahead(items, int)
    assert next(coming) == 0
    assert asked.wait(10)
    threading.Timer(0.05, go_on.set).start()
    coming.close()
    assert go_on.is_set()
    assert next(items) == 2
    assert not readers()


def test_on_a_cpu_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    made = job(tmp_path)
    seen: list[SamplerState] = []

    def watch() -> Iterator[PackedBatch]:
        for batch in data(made, Ranks(0, 1, CPU)).train(SamplerState()):
            seen.append(batch.position)
            yield batch

    expected = list(islice(data(made, Ranks(0, 1, CPU)).train(SamplerState()), 5))
    batches = prefetch(watch(), CPU)
    assert seen == []
    for number, wanted in enumerate(batch.to(CPU) for batch in expected):
        found = next(batches)
        assert found.keys == wanted.keys
        assert torch.equal(found.waveforms, wanted.waveforms)
        assert found.num_masked == wanted.mask.sum()
        assert len(seen) == number + 1
    assert not readers()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_arrive_on_a_gpu_as_on_a_cpu_while_it_computes(tmp_path: Path) -> None:
    mixing = job_of((write_corpus(tmp_path, "spoken", 40),), tmp_path, mix=MixSpec(name="most", probability=0.8))
    packed = list(islice(loader(mixing, SamplerState()), 60))
    packed[3] = replace(packed[3], audio=PackedAudio(torch.zeros_like(packed[3].audio.pcm)))
    packed[4] = replace(packed[4], audio=with_nothing_changed(packed[4].audio))
    assert max(len(batch.audio.changes) for batch in packed) > 1
    device = torch.device("cuda", 0)
    busy = torch.randn(4096, 4096, device=device)
    for found, batch in zip(prefetch(iter(packed), device), packed, strict=True):
        busy = (busy @ busy).clamp(-1, 1)
        wanted = batch.to(CPU)
        assert found.num_masked == wanted.num_masked
        for name in ("waveforms", "labels", "mask"):
            assert getattr(found, name).device == device
            assert torch.equal(getattr(found, name).cpu(), getattr(wanted, name))
    assert not readers()


def with_nothing_changed(audio: PackedAudio) -> PackedAudio:
    """The same crops with one more change, of no samples."""
    return replace(audio, changes=(Change(0, 7, torch.zeros(0)), *audio.changes))
