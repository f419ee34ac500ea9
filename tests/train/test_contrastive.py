"""wav2vec 2.0's training: it learns, its draws follow from the seed, and it ends when its codes collapse."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.train import fakes
from tests.train.outcome import ALONE, check_two_ranks_and_killed, run
from wavlm.engine.wrap import prepare_network
from wavlm.errors import BadDataError, StoppedError
from wavlm.execution import metrics
from wavlm.execution.job import StartWeights, TrainJob
from wavlm.loader.batch import PackedBatch
from wavlm.nn import Contrast, load_model
from wavlm.nn.files import describe
from wavlm.storage.files import read_json, sha256_of
from wavlm.train import loop
from wavlm.train.contrastive import ContrastiveLoss
from wavlm.train.facts import is_finished, read_training
from wavlm.train.start import build_network
from wavlm.train.state import TrainingProgress

pytestmark = pytest.mark.numeric

CALM = {"dropout": 0.0, "layer_drop": 0.0, "feature_grad_mult": 1.0}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    torch.set_num_threads(1)
    return run(fakes.contrastive_job(tmp_path_factory.mktemp("unbroken") / "out"))


@pytest.mark.parametrize("group", [1, 7, 12])
def test_a_stopped_run_goes_on_to_the_same_weights_and_curve(
    tmp_path: Path, unbroken: dict[str, object], group: int
) -> None:
    left = iter(range(group - 1, -99, -1))

    def stop(batch: PackedBatch) -> PackedBatch:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    job = fakes.contrastive_job(tmp_path / "out")
    with pytest.raises(StoppedError, match="STOPPED"):
        run(job, stop)
    assert run(job) == unbroken


def test_the_curve_has_what_tells_a_collapse_and_the_model_its_quantiser(
    tmp_path: Path, unbroken: dict[str, object]
) -> None:
    job = fakes.contrastive_job(tmp_path / "out")
    assert run(job) == unbroken, "the same seed gives the same bytes"
    last = unbroken["curve"][-1]
    for prefix in ("train", "valid"):
        assert 2 <= last[f"{prefix}/hard_perplexity"] <= 12
        assert 2 <= last[f"{prefix}/soft_perplexity"] <= 12
        assert 0 <= last[f"{prefix}/identical_negatives"] < 1
        assert last[f"{prefix}/diversity"] == pytest.approx((12 - last[f"{prefix}/soft_perplexity"]) / 12, abs=1e-6)
        whole = last[f"{prefix}/contrast_loss"] + 0.1 * last[f"{prefix}/diversity"]
        assert last[f"{prefix}/loss"] == pytest.approx(whole + 10 * last[f"{prefix}/feature_penalty"], rel=1e-5)
    network = load_model(job.out)
    assert describe(network).content["quantizer"] == {"codebooks": 2, "entries": 6, "width": 8}
    assert read_json(job.out / "network.json")["num_clusters"] == 0
    assert read_training(job.out).head == "random"


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("way", ["compiled", "recomputing", "bf16"])
def test_compiled_recomputing_and_in_bf16_it_trains_as_plainly(
    way: str, tmp_path: Path, unbroken: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "prepare_network", partial(prepare_network, backend="aot_eager"))
    torch._dynamo.reset()
    runtime = {"compiled": {"compile": True}, "recomputing": {"checkpoint_activations": True}, "bf16": {}}[way]
    train = {"precision": "bf16"} if way == "bf16" else {}
    found = run(fakes.contrastive_job(tmp_path / "out", train=train, **runtime))
    torch._dynamo.reset()
    # Six updates at a rate of 0.01 after bf16's 8 bits; else sums are the same, in another order.
    tolerance = 0.05 if way == "bf16" else 1e-4
    names = ("train/loss", "train/contrast_loss", "train/feature_penalty", "valid/loss", "valid/soft_perplexity")
    for ours, theirs in zip(found["curve"], unbroken["curve"], strict=True):
        for name in names:
            assert ours.get(name) == (theirs.get(name) and pytest.approx(theirs[name], rel=tolerance)), name


def test_progress_is_read_back_with_the_sums_of_its_own_objective(tmp_path: Path) -> None:
    for job in (fakes.job(tmp_path), fakes.contrastive_job(tmp_path)):
        first = TrainingProgress(loss_scale=loop.LossScale.first(job.train), window=loop.no_sums(job.train))
        assert TrainingProgress.model_validate_json(first.model_dump_json()) == first
        assert type(TrainingProgress.model_validate(first.model_dump()).window) is type(first.window)


@pytest.mark.full
@pytest.mark.slow
def test_it_learns_to_tell_frames_apart(tmp_path: Path) -> None:
    """Of 9 vectors a guess finds one in nine."""
    job = fakes.contrastive_job(tmp_path / "out", train={"updates": 60, "log_every": 10, "valid_every": 60})
    run(job.model_copy(update={"network": fakes.network_spec(gated_bias=False, **CALM)}))
    curve = list(metrics.read(job.out / "metrics.jsonl"))
    assert curve[-1]["train/loss"] < curve[0]["train/loss"]
    assert curve[-1]["valid/contrast_accuracy"] > 1.5 / 9


def test_a_quantiser_set_constant_ends_the_run_and_leaves_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss and accuracy are perfect: only the perplexity says that nothing is learned."""
    job = fakes.contrastive_job(tmp_path / "out", {"collapse_updates": 3}, {"log_every": 1})

    def constant(made: TrainJob) -> tuple[nn.Module, str]:
        network, head = build_network(made)
        for parameter in network.head.quantizer.logits.parameters():
            parameter.data.zero_().requires_grad_(False)
        network.head.quantizer.logits.bias.data[::6] = 1000.0
        return network, head

    monkeypatch.setattr(loop, "build_network", constant)
    with pytest.raises(BadDataError, match=r"CODES_COLLAPSED: the hard perplexity .* is 2\.000.*for 3 updates; at up"):
        run(job)
    assert not is_finished(job)
    assert not (job.out / "model.safetensors").exists()
    line = list(metrics.read(job.out / "metrics.jsonl"))[-1]
    assert line["train/contrast_accuracy"] == 1.0
    assert line["train/contrast_loss"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(BadDataError, match="CODES_COLLAPSED"):  # also when it goes on from its snapshot
        run(job)


def test_negatives_follow_from_epoch_and_micro_batch_alone(tmp_path: Path) -> None:
    job = fakes.contrastive_job(tmp_path)
    batches = fakes.data(job, ALONE).train(fakes.SamplerState())
    first, second = (next(batches).to(ALONE.device) for _ in range(2))
    seen: list[Tensor] = []

    def watch(_: object, contrast: Contrast) -> None:
        seen.append(contrast.negatives)
        raise InterruptedError

    def negatives(batch: object, done: int) -> Tensor:
        objective = ContrastiveLoss(job.train, job.train.objective, done)
        with pytest.raises(InterruptedError):
            objective.compute(watch, batch)
        return seen[-1]

    assert torch.equal(negatives(first, 0), negatives(first, 5))
    assert not torch.equal(negatives(first, 0), negatives(second, 0))


@pytest.mark.parametrize(("entries", "head"), [(6, "kept"), (7, "fresh")])
def test_a_head_is_kept_if_its_quantiser_fits(tmp_path: Path, entries: int, head: str) -> None:
    first = fakes.contrastive_job(tmp_path / "first", train={"updates": 1, "warmup_updates": 0})
    run(first)
    start = StartWeights(folder=first.out, sha256=sha256_of(first.out / "model.safetensors"))
    changed = {"quantizer": {"codebooks": 2, "entries": entries, "width": 8}}
    job = fakes.contrastive_job(tmp_path / "second", changed).model_copy(update={"start": start})
    network, found = build_network(job)
    assert found == head
    is_same = torch.equal(network.head.projection.weight, load_model(first.out).head.projection.weight)
    assert is_same == (head == "kept")
    labelled = fakes.job(tmp_path / "third", network={"gated_bias": False}).model_copy(update={"start": start})
    assert build_network(labelled)[1] == "fresh"


def test_a_job_without_labels_is_refused_where_the_objective_reads_some(tmp_path: Path) -> None:
    made = fakes.job(tmp_path)
    with pytest.raises(ValueError, match=r"found 0 folders of labels for 1 of shards, and 5 clusters.*wants labels"):
        TrainJob.model_validate({**dict(made), "data": fakes.contrastive_job(tmp_path).data})


@pytest.mark.full
@pytest.mark.slow
def test_two_ranks_and_a_killed_run_give_the_bytes_of_one(tmp_path: Path, unbroken: dict[str, object]) -> None:
    killed = fakes.contrastive_job(tmp_path / "killed", snapshot_every=1)
    check_two_ranks_and_killed("contrast", killed, tmp_path / "two", unbroken)
