"""The cache of features: bounded, and whole for whoever has opened it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.features.cache import PART_SECONDS, Features, prepare_features, remove_unused
from wavlm.evaluation.features.part import FeaturePart, compute_part
from wavlm.evaluation.features.states import Subject
from wavlm.execution.parts import use_executor
from wavlm.execution.pool import Prepare
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import extraction_plan
from wavlm.features.mfcc import Floats
from wavlm.shards import Reader
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.evaluation import FbankBaseline

P = TypeVar("P")
R = TypeVar("R")

BASELINE = Subject("b", baseline=FbankBaseline(type="fbank"))


def write_part(cache: Path, digest: str, used_at: int) -> FeaturePart:
    part = FeaturePart(cache / f"{digest}.npy", (Example(digest, "", "", 16000, Take(0, 0), ""),), BASELINE, (), True)
    np.save(part.path, np.full((1, 1, 8), 0.5, np.float32))
    np.save(part.counts, np.array([1]))
    np.save(part.norms, np.array([[1.0]]))
    for path in (part.path, part.counts, part.norms):
        os.utime(path, (used_at, used_at))
    return part


def test_the_parts_that_were_not_used_longest_go_and_each_goes_whole(tmp_path: Path) -> None:
    parts = [write_part(tmp_path, digest, used_at) for digest, used_at in (("cc", 100), ("aa", 300), ("bb", 200))]
    size = sum(path.stat().st_size for path in tmp_path.iterdir()) // 3
    assert remove_unused(tmp_path, 3 * size) == 0
    assert remove_unused(tmp_path, 2 * size - 1) == 2 * size
    assert {path.name for path in tmp_path.iterdir()} == {"aa.npy", "aa.counts.npy", "aa.norms.npy"}
    assert parts[1].path.exists()
    assert remove_unused(tmp_path, 0) == size
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_reads_on_what_another_one_has_deleted(tmp_path: Path) -> None:
    features = Features([write_part(tmp_path, "aa", 100)])
    remove_unused(tmp_path, 0)
    assert features.read("aa").shape == (1, 1, 8)
    assert float(features.read("aa").max()) == 0.5


def test_what_another_run_deletes_in_that_moment_stops_nobody(tmp_path: Path) -> None:
    write_part(tmp_path, "aa", 100)
    (tmp_path / "bb.npy").symlink_to(tmp_path / "gone")  # it is listed, and not there when it is looked at
    assert remove_unused(tmp_path, 0) > 0
    assert not (tmp_path / "aa.npy").exists()


@dataclass(frozen=True)
class Noise:
    """A waveform of whole 16-bit samples, by its number."""

    number: int

    def load(self, readers: Sequence[Reader]) -> npt.NDArray[np.float32]:
        return np.random.default_rng(self.number).normal(size=1000 * (self.number + 1)).astype(np.float32)


def two_states(waveform: npt.NDArray[np.float32], key: str) -> Iterator[list[npt.NDArray[np.float32]]]:
    """States of 80 channels and a frame per 80 samples, in pieces of 10 frames."""
    frames = waveform[: len(waveform) // 240 * 240].reshape(-1, 240)
    for start in range(0, len(frames), 10):
        yield [frames[start : start + 10], 100 * frames[start : start + 10]]


@dataclass(frozen=True)
class Made(Subject):
    num_states: int = 2  # type: ignore[misc]
    num_channels: int = 240  # type: ignore[misc]


@pytest.mark.parametrize(("is_pooled", "louder"), [(True, 1.0), (False, 1.0), (False, 1000.0)])
def test_a_part_is_written_in_pieces_as_numpy_would_write_it_at_once(
    tmp_path: Path, is_pooled: bool, louder: float
) -> None:
    audio = [Noise(number) for number in range(5)]
    examples = tuple(Example(f"{item.number}", "", "", 1000 * (item.number + 1), item, "") for item in audio)
    part = FeaturePart(tmp_path / "aa.npy", examples, Made("made"), (), is_pooled)

    def loud(waveform: npt.NDArray[np.float32], key: str) -> Iterator[list[npt.NDArray[np.float32]]]:
        return two_states(np.float32(louder) * waveform, key)

    compute_part(part, loud, [])
    whole = [np.concatenate([np.stack(piece, 1) for piece in loud(item.load([]), "")]) for item in audio]
    rows = [item.mean(0, dtype=np.float64, keepdims=True).astype(np.float32) if is_pooled else item for item in whole]
    expected = np.concatenate(rows)
    wanted = io.BytesIO()
    np.save(wanted, expected if is_pooled or louder > 1 else expected.astype(np.float16))  # float16 ends at 65,504
    if is_pooled:  # sums of pieces round otherwise
        np.testing.assert_allclose(np.load(part.path), expected, rtol=1e-5, atol=1e-6)
        assert part.path.stat().st_size == len(wanted.getvalue())
    else:
        assert part.path.read_bytes() == wanted.getvalue()
    assert np.load(part.counts).tolist() == [len(item) for item in rows]
    norms = [[np.sqrt((item[:, state].astype(float) ** 2).sum(1)).mean() for state in (0, 1)] for item in whole]
    np.testing.assert_allclose(np.load(part.norms), norms, rtol=1e-12)


@pytest.mark.parametrize("ending", [".npy", ".counts.npy", ".norms.npy"])
def test_features_with_a_flipped_bit_are_computed_again(tmp_path: Path, ending: str) -> None:
    example, plan = Example("3", "", "", 4000, Noise(3), ""), extraction_plan(1, 0, is_elsewhere=True)

    def prepare() -> tuple[Floats, npt.NDArray[np.float64]]:
        found = prepare_features([example], BASELINE, {}, tmp_path, plan, no_progress, is_pooled=False)
        return found.read("3"), found.mean_norms(["3"])

    before = prepare()
    (path,) = (path for path in tmp_path.iterdir() if path.name.partition(".")[2] == ending.removeprefix("."))
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 64]) + whole[-1:])
    for old, new in zip(before, prepare(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("ending", [".npy", ".counts.npy"])
def test_a_part_that_another_run_deletes_meanwhile_is_computed_again(tmp_path: Path, ending: str) -> None:
    """Another evaluation ends while this one computes, and deletes what was not used longest."""
    many = int(PART_SECONDS * SAMPLE_RATE_HZ)  # so each example is a part
    old, new = (Example(f"{number}", "", "", many, Noise(number), "") for number in (3, 4))
    plan, rounds = extraction_plan(1, 0, is_elsewhere=True), 0

    def prepare(*examples: Example) -> Features:
        return prepare_features(examples, BASELINE, {}, tmp_path, plan, no_progress, is_pooled=False)

    before = prepare(old).read("3")
    lost = [path for path in tmp_path.iterdir() if path.name.partition(".")[2] == ending.removeprefix(".")]

    def run_beside(
        parts: Sequence[P], work: Callable[[P], R], workers: int, progress: Progress, prepare: Prepare | None = None
    ) -> list[R]:
        nonlocal rounds
        rounds += 1
        found = [work(part) for part in parts]
        if rounds == 1:
            for path in lost:
                path.unlink()
        return found

    with use_executor(run_beside):
        features = prepare(old, new)
    assert (len(lost), rounds) == (1, 2)
    np.testing.assert_array_equal(features.read("3"), before)
    assert features.count("4") > features.count("3")
