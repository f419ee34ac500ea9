"""The training run: learns, goes on bit for bit after any kind of end, and refuses bad numbers."""

import os
import signal
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.numerics import mean_tolerance, norm_tolerance, roundings
from tests.train import fakes
from tests.train.outcome import ALONE, result, run
from wavlm.errors import BadDataError, StoppedError, UsageError
from wavlm.execution import metrics
from wavlm.execution.job import StartWeights, TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.loader.batch import PackedBatch
from wavlm.nn import ModelFileError, load_model
from wavlm.storage.files import read_json, sha256_of
from wavlm.train import loop, step
from wavlm.train.facts import is_finished, read_training
from wavlm.train.reporting import find_due_records
from wavlm.train.state import TrainingProgress

pytestmark = pytest.mark.numeric

NUM_FRAMES_A_LINE = 2 * 4 * 2 * 74  # updates, groups, utterances, frames


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    torch.set_num_threads(1)
    return run(fakes.job(tmp_path_factory.mktemp("unbroken") / "out"))


def test_the_facts_count_what_was_mixed_into_all_utterances(unbroken: dict[str, object]) -> None:
    """Groups 0 to 23 of 2 utterances, as `fakes` counts them, in epochs of GROUPS_AN_EPOCH groups."""
    groups = [number % fakes.GROUPS_AN_EPOCH for number in range(6 * 4)]
    with_speech = sum(group % 2 for group in groups)
    assert unbroken["mixing"] == {
        "utterances": 2 * 24,
        "with_speech": with_speech,
        "with_noise": 0,
        "mean_speech_ratio_db": round(0.1 * sum(groups) / with_speech, 3),
        "mean_noise_ratio_db": None,
        "effects": {"gain": 24},
    }


@pytest.mark.slow
def test_loss_falls_and_accuracy_beats_the_commonest_label(tmp_path: Path) -> None:
    calm = {"dropout": 0.0, "layer_drop": 0.0, "feature_grad_mult": 1.0}
    job = fakes.job(tmp_path / "out", network=calm, train={"updates": 50, "valid_every": 50, "log_every": 10})
    run(job)
    curve = list(metrics.read(job.out / "metrics.jsonl"))
    assert curve[-1]["train/loss"] < curve[0]["train/loss"]
    assert curve[-1]["valid/masked_accuracy"] > curve[-1]["valid/majority"]


def test_curve_has_the_lines_that_the_spec_asks_for(unbroken: dict[str, object]) -> None:
    curve = unbroken["curve"]
    assert [(line["update"], "lr" in line, "valid/loss" in line) for line in curve] == [
        (2, True, False),
        (3, False, True),
        (4, True, False),
        (6, True, True),
    ]
    assert curve[-1]["seconds_of_audio"] == pytest.approx(6 * 4 * 2 * fakes.NUM_SAMPLES / 16000)


def test_the_windows_of_the_curve_are_the_whole_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, walls = [], []
    original = loop.train_metrics

    def note(job: TrainJob, progress: TrainingProgress) -> metrics.MetricsRecord:
        windows.append(progress.window_seconds)
        walls.append(progress.wall_seconds)
        return original(job, progress)

    monkeypatch.setattr(loop, "train_metrics", note)
    run(fakes.job(tmp_path / "out"))
    assert len(windows) == 3
    assert sum(windows) == pytest.approx(walls[-1])


def test_finished_job_has_a_model_that_loads_and_a_summary(tmp_path: Path) -> None:
    job = fakes.job(tmp_path / "out", train={"updates": 2})
    assert not is_finished(job)
    run(job)
    assert is_finished(job)
    assert load_model(job.out).num_clusters == fakes.NUM_CLUSTERS
    summary = read_json(job.out / "training.json")
    assert summary["updates"] == 2
    assert summary["valid/loss"] == list(metrics.read(job.out / "metrics.jsonl"))[-1]["valid/loss"]


def test_without_validation_data_the_curve_has_no_figures_of_it(tmp_path: Path) -> None:
    job = fakes.job(tmp_path / "out", train={"updates": 3})
    job.out.mkdir()
    data = replace(fakes.data(job, ALONE), valid={"valid": lambda: iter(())})
    with StopRequest() as stop:
        loop.train(job, data, ALONE, stop)
    curve = list(metrics.read(job.out / "metrics.jsonl"))
    assert [line["update"] for line in curve] == [2, 3]
    assert not [name for line in curve for name in line if name.startswith("valid")]


def test_what_is_validated_at_the_end_is_in_the_last_line_alone_and_changes_nothing_else(
    tmp_path: Path, unbroken: dict[str, object]
) -> None:
    job = fakes.job(tmp_path / "out")
    job.out.mkdir()
    data = fakes.data(job, ALONE)
    data = replace(data, valid_at_end={"valid/one": data.valid["valid"], "valid/none": lambda: iter(())})
    with StopRequest() as stop:
        loop.train(job, data, ALONE, stop)
    found = result(job.out)
    extra = {name: found["curve"][-1].pop(name) for name in list(found["curve"][-1]) if name.startswith("valid/one/")}
    assert found == unbroken
    assert extra["valid/one/loss"] == found["curve"][-1]["valid/loss"]
    assert read_json(job.out / "training.json")["valid/one/loss"] == extra["valid/one/loss"]


class StopAt:
    """Asks to stop when the n-th group is read, as a signal would."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, batch: PackedBatch) -> PackedBatch:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch


@pytest.mark.parametrize("group", [1, 7, 12, 17, 24])
def test_stopped_run_goes_on_to_the_same_weights_and_curve(
    tmp_path: Path, unbroken: dict[str, object], group: int
) -> None:
    job = fakes.job(tmp_path / "out")
    with pytest.raises(StoppedError, match="STOPPED"):
        run(job, StopAt(group))
    assert run(job) == unbroken


def test_each_of_many_stops_is_gone_on_from(tmp_path: Path, unbroken: dict[str, object]) -> None:
    job = fakes.job(tmp_path / "out")
    stops = 0
    while not is_finished(job):
        try:
            run(job, StopAt(4))
        except StoppedError:
            stops += 1
    assert stops >= 4
    assert result(job.out) == unbroken


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "sample"), [("fp32", nan), ("bf16", nan), ("fp16", nan), ("fp32", inf)])
def test_bad_sample_stops_before_the_update_and_names_the_batch(tmp_path: Path, precision: str, sample: float) -> None:
    job = fakes.job(tmp_path / "out", train={"precision": precision}, snapshot_every=1)
    bad = "e0-g4-u1"  # in the second update

    def spoil(batch: PackedBatch) -> PackedBatch:
        return fakes.with_sample(batch, sample) if bad in batch.keys else batch

    with pytest.raises(BadDataError, match=rf"NOT_FINITE: update 2 .*{bad}"):
        run(job, spoil)
    assert [path.name for path in (job.out / "snapshots").iterdir()] == ["step-000000001"]
    assert run(job) == run(fakes.job(tmp_path / "clean", train={"precision": precision}))


def test_damaged_snapshot_falls_back_and_ends_the_same(tmp_path: Path, unbroken: dict[str, object]) -> None:
    job = fakes.job(tmp_path / "out", snapshot_every=1)
    with pytest.raises(StoppedError):
        run(job, StopAt(17))
    newest = max((job.out / "snapshots").iterdir())
    (newest / "model.safetensors").write_bytes(b"gone")
    assert run(job) == unbroken


@pytest.mark.parametrize("changes", [{"valid_every": 2, "log_every": 3}, {"valid_every": 5, "log_every": 1}])
def test_a_stopped_run_goes_on_to_the_same_weights_when_its_curve_is_measured_otherwise(
    tmp_path: Path, unbroken: dict[str, object], changes: dict[str, int]
) -> None:
    with pytest.raises(StoppedError):
        run(fakes.job(tmp_path / "out"), StopAt(9))
    job = fakes.job(tmp_path / "out", train=changes)
    found = run(job)
    assert found["weights"] == unbroken["weights"]
    last = found["curve"][-1]
    assert last["update"] == 6
    assert last["valid/loss"] == unbroken["curve"][-1]["valid/loss"]
    facts = read_training(job.out)
    assert (facts.valid_every, facts.log_every) == (job.train.valid_every, job.train.log_every)
    stopped_after = 3
    assert [line["update"] for line in found["curve"] if line["update"] <= stopped_after] == [2, 3]
    due = [update for update in range(stopped_after + 1, 7) if any(find_due_records(job.train, update))]
    assert [line["update"] for line in found["curve"] if line["update"] > stopped_after] == due


def test_a_stopped_run_that_gets_other_mixtures_goes_on_and_says_so(
    tmp_path: Path, unbroken: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    def job(name: str) -> TrainJob:
        return fakes.job(tmp_path / "out").model_copy(update={"mixtures": tmp_path / name})

    with pytest.raises(StoppedError):
        run(job("noisy-0"), StopAt(9))
    with caplog.at_level("WARNING"):
        assert run(job("noisy-1"))["weights"] == unbroken["weights"]
    assert read_training(tmp_path / "out").validated_on == ("noisy-0", "noisy-1")
    assert "validated on noisy-0, from now on noisy-1" in caplog.text


def test_snapshot_of_another_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        run(fakes.job(tmp_path / "out"), StopAt(9))
    with pytest.raises(UsageError, match=r"CKPT_FOREIGN.*train"):
        run(fakes.job(tmp_path / "out", train={"seed": 1}))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_stays_near_fp32(tmp_path: Path, precision: str) -> None:
    jobs = [fakes.job(tmp_path / name, train={"precision": name, "updates": 4}) for name in ("fp32", precision)]
    forward, dtype = roundings(jobs[0].network.num_layers), step.AUTOCAST[precision]
    for exact, found in zip(*(run(job)["curve"][0::2] for job in jobs), strict=True):
        num_masked = exact["masked_fraction"] * NUM_FRAMES_A_LINE
        loss = mean_tolerance(forward, num_masked, dtype)
        assert found["train/loss"] == pytest.approx(exact["train/loss"], rel=loss)
        norm = norm_tolerance(3 * forward, dtype)
        assert found["grad_norm"] == pytest.approx(exact["grad_norm"], rel=norm)
        assert found["grad_norm"] != exact["grad_norm"]


def test_recomputed_activations_change_no_number(tmp_path: Path, unbroken: dict[str, object]) -> None:
    assert run(fakes.job(tmp_path / "out", checkpoint_activations=True)) == unbroken


@pytest.mark.slow
def test_training_goes_on_from_another_models_weights_and_head(tmp_path: Path) -> None:
    calm = {"dropout": 0.0, "layer_drop": 0.0, "feature_grad_mult": 1.0}
    first = fakes.job(tmp_path / "first", network=calm, train={"updates": 50, "log_every": 1})
    run(first)
    begun, ended = (list(metrics.read(first.out / "metrics.jsonl"))[place] for place in (0, -1))
    start = StartWeights(folder=first.out, sha256=sha256_of(first.out / "model.safetensors"))
    second = fakes.job(tmp_path / "second", network=calm, train={"updates": 2, "log_every": 1})
    run(second.model_copy(update={"start": start}))
    went_on = next(iter(metrics.read(second.out / "metrics.jsonl")))
    assert went_on["train/loss"] < 0.5 * (begun["train/loss"] + ended["train/loss"])


@pytest.mark.parametrize(
    ("change", "head"), [({}, "kept"), ({"num_clusters": 9}, "fresh"), ({"codebook": "c" * 64}, "fresh")]
)
def test_a_head_is_kept_for_the_same_codebook_and_drawn_anew_for_others(
    tmp_path: Path, change: dict[str, object], head: str
) -> None:
    """With a learning rate of nothing the weights that training ends with are those that it began with."""
    run(fakes.job(tmp_path / "first", train={"updates": 1, "warmup_updates": 0}))
    first = tmp_path / "first" / "model.safetensors"
    start = StartWeights(folder=first.parent, sha256=sha256_of(first))
    train = {"updates": 1, "warmup_updates": 0, "peak_lr": 1e-30, "weight_decay": 0.0}
    job = fakes.job(tmp_path / "second", train=train).model_copy(update={"start": start, **change})
    run(job)
    before, after = (load_file(folder / "model.safetensors") for folder in (first.parent, job.out))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        is_same = tensor.shape == after[name].shape and torch.equal(tensor, after[name])
        assert is_same == (head == "kept" or not name.startswith("head.")), name
    assert after["head.label_embeddings"].shape[0] == job.num_clusters
    assert read_training(job.out).head == head
    if "num_clusters" not in change:  # the same data: a kept head has the source's loss, a fresh one starts anew
        theirs, ours = (read_training(folder).metrics["valid/loss"] for folder in (first.parent, job.out))
        assert (ours == pytest.approx(theirs, rel=1e-6)) == (head == "kept")


def test_a_start_of_another_network_is_refused_by_the_trainer(tmp_path: Path) -> None:
    run(fakes.job(tmp_path / "first", train={"updates": 1, "warmup_updates": 0}))
    path = tmp_path / "first" / "model.safetensors"
    start = StartWeights(folder=path.parent, sha256=sha256_of(path))
    job = fakes.job(tmp_path / "second", network={"norm_first": True}).model_copy(update={"start": start})
    with pytest.raises(UsageError, match=r"START_NETWORK: .*norm_first is False there and True in the recipe"):
        run(job)


def test_a_start_of_other_bytes_is_refused(tmp_path: Path) -> None:
    first = fakes.job(tmp_path / "first", train={"updates": 2})
    run(first)
    start = StartWeights(folder=first.out, sha256="0" * 64)
    job = fakes.job(tmp_path / "second").model_copy(update={"start": start})
    with pytest.raises(ModelFileError, match="the recipe expects 000000"):
        run(job)
