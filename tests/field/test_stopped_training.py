"""People reported: a training was stopped, a file that it left was damaged, and the next run believed it.

Every seventh label of the cache was changed: other weights, exit code 0. Lines of the curve were lost in silence, or
ended the run with a traceback. What a training left is compared with its digest now, or made again: same end.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.labels.test_flat import label
from tests.mini_shards import tones, write_shards
from tests.sealed import DAMAGES, Damage
from tests.train import fakes
from tests.train.test_loop import StopAt, result, run
from wavlm.errors import BadDataError, StoppedError
from wavlm.execution import metrics
from wavlm.execution.launch import _MetricsTail
from wavlm.labels.flat import FlatLabels, open_flat_labels
from wavlm.storage.files import read_json
from wavlm.train.facts import is_finished

pytestmark = pytest.mark.numeric
STOP_AT = 17  # in update 5 of 6, with records of updates 2, 3 and 4


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    torch.set_num_threads(1)
    return run(fakes.job(tmp_path_factory.mktemp("unbroken") / "out"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was stopped."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("stopped") / "out"
    with pytest.raises(StoppedError):
        run(fakes.job(out), StopAt(STOP_AT))
    return out


def change_digit(whole: bytes, _: random.Random) -> bytes:
    """Another loss, in a line that can be read."""
    digits = b"0123456789"
    place = next(at for at in range(whole.index(b"train/loss") + 14, len(whole)) if whole[at] in digits)
    return whole[:place] + digits[(whole[place] - 48 + 1) % 10 :][:1] + whole[place + 1 :]


def drop_line(whole: bytes, _: random.Random) -> bytes:
    return whole.partition(b"\n")[2]


def empty(_: bytes, __: random.Random) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [*DAMAGES, change_digit, drop_line, empty, None])
def test_a_damaged_curve_is_that_of_the_checkpoint_again(
    stopped: Path, tmp_path: Path, unbroken: dict[str, object], damage: Damage | None
) -> None:
    job = fakes.job(tmp_path / "out")
    shutil.copytree(stopped, job.out)
    path = job.out / metrics.METRICS_FILE
    whole = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(whole, random.Random(1)))  # noqa: S311
        assert path.read_bytes() != whole
    assert run(job) == unbroken


@pytest.mark.parametrize("name", ["model.safetensors", "network.json", "metrics.jsonl", "training.json"])
def test_a_finished_training_whose_files_were_damaged_is_finished_again(
    tmp_path: Path, unbroken: dict[str, object], name: str
) -> None:
    job = fakes.job(tmp_path / "out")
    run(job)
    path = job.out / name
    whole = path.read_bytes()
    for number, damage in enumerate(DAMAGES):
        path.write_bytes(damage(whole, random.Random(number)))  # noqa: S311
        assert not is_finished(job)
    run(job)  # what the trainer does then: it goes on after the last update
    assert is_finished(job)
    assert result(job.out) == unbroken


def test_a_curve_of_a_training_that_has_no_checkpoint_yet_is_begun_again(
    tmp_path: Path, unbroken: dict[str, object]
) -> None:
    job = fakes.job(tmp_path / "out")
    job.out.mkdir()
    metrics.append(job.out / metrics.METRICS_FILE, {"update": 0, "train/loss": 3.0})
    assert run(job) == unbroken


def test_a_checkpoint_of_an_earlier_version_has_no_curve_and_the_file_counts(
    stopped: Path, tmp_path: Path, unbroken: dict[str, object]
) -> None:
    from wavlm.storage.files import sha256_of, write_json

    job = fakes.job(tmp_path / "out")
    shutil.copytree(stopped, job.out)
    for checkpoint in (job.out / "snapshots").iterdir():
        state = read_json(checkpoint / "state.json")
        del state["curve"]
        write_json(checkpoint / "state.json", state)
        manifest = read_json(checkpoint / "manifest.json")
        write_json(checkpoint / "manifest.json", {**manifest, "state.json": sha256_of(checkpoint / "state.json")})
    assert run(job) == unbroken


def change_middle(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)


def cut_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def labels_of(flat: FlatLabels, count: int) -> list[list[int]]:
    return [flat.of(0, row).tolist() for row in range(count)]


@pytest.mark.parametrize("change", [change_middle, cut_file, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["labels.bin", "ends.bin", "checks.bin", "columns.json"])
def test_a_changed_cache_of_labels_is_built_again(tmp_path: Path, change: Callable[[Path], None], name: str) -> None:
    """Labels themselves are 34 GB of 94,000 hours: they are checked where they are read, and made again afterwards."""
    shards = write_shards(tmp_path / "shards", tones(4))
    label(shards, tmp_path / "labels")
    folders = ([tmp_path / "labels"], [shards], tmp_path / "cache")
    expected = labels_of(open_flat_labels(*folders), 4)
    (path,) = (tmp_path / "cache").glob(f"*/{name}")
    change(path)
    if name == "labels.bin" and change is change_middle:
        with pytest.raises(BadDataError, match=r"LABELS_DAMAGED: .*labels\.bin; run again"):
            labels_of(open_flat_labels(*folders), 4)
    assert labels_of(open_flat_labels(*folders), 4) == expected


def test_lines_that_were_there_before_the_trainer_started_are_not_shown(tmp_path: Path) -> None:
    """Nobody has checked them: the trainer replaces the file by what its checkpoint kept."""
    path, shown = tmp_path / metrics.METRICS_FILE, []
    metrics.append(path, {"update": 1, "train/loss": 99.0})
    tail = _MetricsTail(path, shown.append)
    tail.poll()
    assert shown == []
    metrics.restore(path, '{"update": 1, "train/loss": 3.0}\n')
    with path.open("ab") as file:
        file.write(b'\xff\n{"update": 2}\n')
    tail.poll()
    assert shown == [{"update": 1, "train/loss": 3.0}, {"update": 2}]
