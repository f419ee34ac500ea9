"""Validation on mixtures: what was mixed in is in the crop that is validated on, in every mixture.

People reported: of 16 fixed mixtures 4 were validated on without any mixing, because the crop began elsewhere, the
region was empty, or the added recording was silent there.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mini_shards import Spoken, write_shards
from tests.staircases import NUM_CLUSTERS, job_of, write_corpus
from wavlm.errors import BadDataError
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.loader.batch import Batch
from wavlm.loader.validation import validation_batches
from wavlm.mixing import listen
from wavlm.mixing.build import build_mixtures
from wavlm.specs import MixSpec, MixturesSpec

CPU = torch.device("cpu")
MIX = MixSpec(name="both", probability=0.2, noise_probability=0.1)
MORE = 0.75 / 256  # the levels of two labels differ by 1 / 256


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spectrogram takes most of a second."""
    monkeypatch.setattr(listen, "plot_mixture", lambda clean, mixed, out: out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    """Staircases: the level of each frame is its label, so a waveform shows where it was changed."""
    return write_corpus(tmp_path_factory.mktemp("corpus"), "stairs", 8, valid=24)


def noise(folder: Path, *waveforms: np.ndarray) -> Path:
    spoken = [Spoken(f"noise-{n}", "", waveform.astype(np.float32)) for n, waveform in enumerate(waveforms)]
    return write_shards(folder, spoken)


def bursts(seconds: float = 8.0) -> np.ndarray:
    """Half of it is silence, in pieces of 0.4 s."""
    times = np.arange(int(seconds * 16000))
    return 0.3 * np.random.default_rng(0).standard_normal(len(times)) * (times // 6400 % 2)


def mixtures(data: LabelledShards, noise_dirs: list[Path], out: Path, mix: MixSpec = MIX, **spec: object) -> Path:
    out.mkdir()
    wanted = MixturesSpec.model_validate({"num_utterances": 16, "max_seconds": 3.0, **spec})
    facts = build_mixtures(wanted, mix, [data.shards], noise_dirs, [], out)
    assert (facts.utterances, facts.heard) == (16, 16)
    return out


def batches(job: TrainJob) -> list[Batch]:
    return [packed.to(CPU) for packed in validation_batches(job, "mixed")]


def changed_samples(batch: Batch) -> list[int]:
    """How many samples of each row are not at the level of their label; that of a louder mixture is scaled."""
    clean = (batch.labels.float() + 1).repeat_interleave(320, 1) / 256  # the last frame is 80 samples longer
    found = []
    for row, level in zip(batch.waveforms[:, : clean.shape[1]], clean, strict=True):
        gain = (row / level).median()  # more than half of a crop is as it was
        found.append(int(((row / gain - level).abs() > MORE).sum()))
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_every_validation_crop_has_what_was_mixed_in(data: LabelledShards, tmp_path: Path, seed: int) -> None:
    made = mixtures(data, [noise(tmp_path / "noise", bursts())], tmp_path / "mixtures", seed=seed)
    job = job_of((data,), tmp_path, mixtures=made)
    for crop_seconds in (2.5, 1.0, 0.6):
        train = job.train.model_copy(update={"max_crop_seconds": crop_seconds})
        counts, rows = [], 0
        for batch in batches(job.model_copy(update={"train": train})):
            counts += changed_samples(batch)
            rows += batch.mixing.with_speech + batch.mixing.with_noise
            assert batch.mixing.utterances == len(batch.keys)
        assert len(counts) == rows == 16
        assert min(counts) >= 320, (crop_seconds, sorted(counts))


def test_silent_noise_is_drawn_again_and_if_all_is_silent_the_set_is_refused(
    data: LabelledShards, tmp_path: Path
) -> None:
    silence = np.zeros(48000)
    half = noise(tmp_path / "half", silence, bursts(), silence)
    mixtures(data, [half], tmp_path / "some")
    with pytest.raises(BadDataError, match=r"MIXTURE_UNHEARD: .*4 of 8 utterances cannot be heard.*; at \d{5}-stairs"):
        mixtures(data, [noise(tmp_path / "all", silence)], tmp_path / "none")


def test_a_mix_without_length_is_refused(data: LabelledShards, tmp_path: Path) -> None:
    empty = MIX.model_copy(update={"noise_probability": 0.0, "max_length_fraction": 0.0})
    with pytest.raises(BadDataError, match=r"MIXTURE_UNHEARD: .*8 of 8 .*max_length_fraction near 0"):
        mixtures(data, [], tmp_path / "mixtures", empty)


@pytest.mark.parametrize("column", ["scale", "end_samples"])
def test_a_set_in_which_something_is_not_heard_is_refused(data: LabelledShards, tmp_path: Path, column: str) -> None:
    made = mixtures(data, [], tmp_path / "mixtures", MIX.model_copy(update={"noise_probability": 0.0}))
    with (made / "mixtures.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    rows[3][column] = rows[3]["start_samples"] if column == "end_samples" else "0.0"
    with (made / "mixtures.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(BadDataError, match=f"MIXTURE_UNHEARD: .*at {rows[3]['key']}; make the mixtures again"):
        batches(job_of((data,), tmp_path, mixtures=made))


def test_the_levels_of_the_staircases_show_a_clean_crop(data: LabelledShards, tmp_path: Path) -> None:
    """The measure of these tests: a clean crop has no changed sample."""
    clean = [packed.to(CPU) for packed in validation_batches(job_of((data,), tmp_path), "clean")]
    assert {count for batch in clean for count in changed_samples(batch)} == {0}
    assert max(int(batch.labels.max()) for batch in clean) < NUM_CLUSTERS
