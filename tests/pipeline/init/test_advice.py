"""Numbers of a recipe, for made-up amounts of speech and machines, against what the rules promise."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from wavlm.corpus.layouts import FilesAccount, Reading, Recording
from wavlm.corpus.manifest import ManifestRow
from wavlm.pipeline.init.corpus_advice import describe_corpus, hold_out
from wavlm.pipeline.init.detected import Detected
from wavlm.pipeline.init.heads import FileHead
from wavlm.pipeline.init.look import Holdings
from wavlm.pipeline.init.machine import Machine
from wavlm.pipeline.init.recipe_advice import describe_recipe
from wavlm.pipeline.init.sound import FileSound, Sounds
from wavlm.pipeline.init.write import to_yaml
from wavlm.specs import Recipe
from wavlm.specs.layouts import GenericLayout
from wavlm.specs.yaml import read_recipe

CPU = Machine(0, 2, 12.0)
ONE_GPU = Machine(1, 16, 120.0, 80.0, "NVIDIA A100")
EIGHT_GPUS = Machine(8, 64, 120.0, 80.0, "NVIDIA H100")


def of_hours(hours: float, seconds: float = 12.0, *, sounds: tuple[FileSound, ...] = (), channels: int = 1) -> Holdings:
    """Recordings of ten speakers, of equal length. At most 2,000 stand for all of them."""
    count = max(2, round(hours * 3600 / seconds))
    shown = min(count, 2000)
    names = [f"s{number % 10}/{number:05}.wav" for number in range(shown)]
    recordings = tuple(Recording(name, PurePosixPath(name), name.partition("/")[0]) for name in names)
    heads = tuple(FileHead(name, 1, "WAV", "PCM_16", 16000, channels, seconds) for name in names)
    rows = tuple(
        ManifestRow(
            item.key, str(item.path), item.speaker, "train", None, None, 1, item.key, 16000, round(16000 * seconds)
        )
        for item in recordings
    )
    detected = Detected(GenericLayout(type="generic"), "made up")
    reading = Reading(recordings, FilesAccount(found=shown, used=shown, left_out=(), suffixes={}), ())
    return Holdings(Path("/speech"), detected, reading, heads, Sounds(sounds), rows, count / shown)


def recipe_of(folder: Path, found: Holdings, machine: Machine) -> Recipe:
    held = hold_out(found, "mine")
    (folder / "corpora").mkdir(exist_ok=True)
    (folder / "corpora" / "mine.yaml").write_text(to_yaml(describe_corpus(found, "mine", "../x", held)))
    (folder / "mine.yaml").write_text(to_yaml(describe_recipe(found, "mine", held, machine)))
    return read_recipe(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("hours", "machine", "width", "iterations"),
    [
        (0.01, CPU, 128, 1),
        (3.0, CPU, 128, 2),
        (1000.0, CPU, 128, 2),
        (3.0, ONE_GPU, 128, 2),
        (100.0, ONE_GPU, 384, 2),
        (960.0, EIGHT_GPUS, 768, 2),
    ],
)
def test_a_recipe_of_every_size_is_valid(
    hours: float, machine: Machine, width: int, iterations: int, tmp_path: Path
) -> None:
    recipe = recipe_of(tmp_path, of_hours(hours), machine)
    assert len(recipe.iterations) == iterations
    assert recipe.speech[0].expected_hours == pytest.approx(hours, rel=0.3, abs=0.005)
    for iteration in recipe.iterations:
        train = iteration.train
        assert iteration.network.width == width
        groups = train.batch_seconds / train.group_seconds
        assert groups == int(groups)
        assert groups % max(1, machine.gpus) == 0
        assert train.group_seconds >= 2 * train.max_crop_seconds
        assert train.updates * train.batch_seconds / 3600 <= 325 * max(hours, 0.15) * 1.1


def test_with_960_hours_and_eight_gpus_the_numbers_are_hubert_s(tmp_path: Path) -> None:
    first, second = recipe_of(tmp_path, of_hours(960.0), EIGHT_GPUS).iterations
    assert (first.codebook.num_clusters, second.codebook.num_clusters) == (100, 500)
    assert second.codebook.features.model_dump()["layer"] == 6
    assert first.train.batch_seconds == 2800
    assert first.train.peak_lr == pytest.approx(5e-4)


def test_twice_the_time_gives_twice_the_updates_until_the_epochs_bound_them(tmp_path: Path) -> None:
    updates = [
        recipe_of(tmp_path, of_hours(2.0), Machine(0, 2, hours)).iterations[1].train.updates
        for hours in (0.4, 0.8, 1e6)
    ]
    assert updates[1] == pytest.approx(2 * updates[0], rel=0.05)
    train_hours = hold_out(of_hours(2.0), "mine").train_hours
    assert updates[2] * 12 / 3600 / train_hours == pytest.approx(324, rel=0.05)


def test_little_memory_makes_small_micro_batches(tmp_path: Path) -> None:
    def group(gigabytes: float) -> float:
        machine = Machine(1, 8, 120.0, gigabytes)
        return recipe_of(tmp_path, of_hours(400.0), machine).iterations[0].train.group_seconds

    assert group(4.0) < group(80.0) == 87.5


def test_few_hours_mean_few_clusters(tmp_path: Path) -> None:
    counts = [recipe_of(tmp_path, of_hours(h), CPU).iterations[0].codebook.num_clusters for h in (0.01, 0.2, 3.0)]
    assert counts == [10, 50, 100]


def test_short_clips_of_known_speakers_are_joined(tmp_path: Path) -> None:
    shards = recipe_of(tmp_path, of_hours(1.0, 1.5), CPU).shards
    assert (shards.join_seconds, shards.min_seconds) == (8.0, 1.0)
    assert recipe_of(tmp_path, of_hours(1.0, 6.0), CPU).shards.join_seconds == 0


def test_channels_that_are_different_sounds_are_taken_apart(tmp_path: Path) -> None:
    calls = tuple(FileSound(str(number), 10.0, bandwidth_hz=4000, correlation=0.01) for number in range(10))
    assert recipe_of(tmp_path, of_hours(2.0, sounds=calls, channels=2), CPU).speech[0].channels == "each"
    stereo = tuple(FileSound(str(number), 10.0, bandwidth_hz=4000, correlation=0.9) for number in range(10))
    assert recipe_of(tmp_path, of_hours(2.0, sounds=stereo, channels=2), CPU).speech[0].channels == "mean"


def test_more_speech_holds_out_a_smaller_share(tmp_path: Path) -> None:
    shares = [float(str(hold_out(of_hours(hours), "mine").fraction.value)) for hours in (0.2, 3.0, 20.0, 1000.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] <= 0.002
