"""Fine-tuning ends in the same system however often it was stopped, and on any number of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.finetune.made import make_job, make_spec, say
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError, StoppedError, UsageError
from wavlm.execution import metrics
from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.execution.stop import StopRequest
from wavlm.finetune import scoring, step
from wavlm.finetune.facts import is_tuned, read_finetune
from wavlm.finetune.load import load_system
from wavlm.finetune.loop import tune

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))
TWO_STAGES = (
    {"frozen": "all", "updates": 3, "dev_every": 2, "optimizer": {"type": "sgd", "nesterov": True}},
    {"updates": 4, "dev_every": 2, "frozen_updates": 1, "time_mask": {"probability": 0.4}, "crop_seconds": 0.3},
)


def _tune(job: FinetuneJob, stop: StopRequest | None = None) -> None:
    torch.set_num_threads(1)
    tune(job, ALONE, stop or StopRequest())


def _system(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "head.safetensors") | load_file(out / "model.safetensors")


@pytest.fixture(scope="module")
def whole(words: LabelledFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stages without a stop."""
    out = tmp_path_factory.mktemp("whole")
    _tune(make_job(words, out, make_spec(*TWO_STAGES)))
    return out


@pytest.mark.parametrize("stops_after", [1, 3, 5])
def test_a_stopped_training_ends_in_the_same_bytes(
    words: LabelledFolders, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_after: int
) -> None:
    job, done, stop = make_job(words, tmp_path, make_spec(*TWO_STAGES)), 0, StopRequest()
    original = step._forward_backward

    def count(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 2 * stops_after - 1:  # the first micro-batch of that update
            stop.requested = True
        return original(*arguments)

    monkeypatch.setattr(step, "_forward_backward", count)
    with pytest.raises(StoppedError, match=f"after update {stops_after} of 7"):
        _tune(job, stop)
    monkeypatch.setattr(step, "_forward_backward", original)
    _tune(job)
    for name in ("model.safetensors", "head.safetensors", "head.json", "results.json", "predictions.parquet"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name
    curves = [
        [{k: v for k, v in record.items() if k not in metrics.TIMED} for record in metrics.read(out / "metrics.jsonl")]
        for out in (whole, tmp_path)
    ]
    assert curves[0] == curves[1]
    assert is_tuned(job)
    assert not (tmp_path / "candidates").exists()


@pytest.mark.parametrize(
    ("recording", "said"), [(3, "after update 2 of 7"), (14, "after update 5 of 7"), (28, "after update 7 of 7")]
)
def test_a_look_that_is_stopped_is_taken_again(
    words: LabelledFolders, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recording: int, said: str
) -> None:
    """At six recordings of the dev part after each of the updates 2, 3, 5 and 7, and then at six of the test part."""
    job, seen, stop = make_job(words, tmp_path, make_spec(*TWO_STAGES)), 0, StopRequest()
    original = scoring.predict_whole

    def count(*arguments: Any) -> Any:
        nonlocal seen
        seen += 1
        stop.requested = seen == recording
        return original(*arguments)

    monkeypatch.setattr(scoring, "predict_whole", count)
    with pytest.raises(StoppedError, match=said):
        _tune(job, stop)
    monkeypatch.setattr(scoring, "predict_whole", original)
    _tune(job)
    for name in ("model.safetensors", "head.safetensors", "results.json", "predictions.parquet"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_frozen_network_stays_as_it_is_bit_by_bit(words: LabelledFolders, tmp_path: Path) -> None:
    """Half the layers, the convolutions, or all; what is not frozen moves."""
    weights = {}
    for frozen in ("all", "cnn", 1):
        out = tmp_path / str(frozen)
        _tune(make_job(words, out, make_spec({"frozen": frozen, "updates": 2, "dev_every": 2})))
        weights[frozen] = load_file(out / "model.safetensors")
    before = weights["all"]
    moved = {
        frozen: {name for name, tensor in found.items() if not torch.equal(tensor, before[name])}
        for frozen, found in weights.items()
    }
    assert not any(name.startswith(("extractor.", "head.")) for name in moved["cnn"])
    assert any(name.startswith("encoder.layers.0.") for name in moved["cnn"])
    assert moved[1]
    assert all(name.startswith("encoder.layers.1.") for name in moved[1])


def test_the_system_that_is_loaded_says_what_was_scored(words: LabelledFolders, whole: Path) -> None:
    system = load_system(whole, "cpu")
    assert system.about.task.type == "ks"
    found = system.predict(say("cab", 7))
    assert found in [{"class": word} for word in ("ab", "ba", "cab")]
    facts = read_finetune(whole)
    assert [item.updates for item in facts.stages] == [3, 4]
    assert facts.results.test is not None
    assert facts.results.test.utterances == 6
    assert facts.head_parameters < facts.parameters


def test_the_weights_that_were_best_are_kept_and_means_are_means(words: LabelledFolders, tmp_path: Path) -> None:
    """The mean of the weights after updates 2 and 4, which two shorter trainings give."""
    parts = {}
    for updates in (2, 4):
        out = tmp_path / str(updates)
        _tune(make_job(words, out, make_spec({"updates": updates, "dev_every": 2, "keep": "last"})))
        parts[updates] = _system(out)
    _tune(make_job(words, tmp_path / "mean", make_spec({"updates": 4, "dev_every": 2, "keep": "mean", "mean_of": 2})))
    found = _system(tmp_path / "mean")
    for name, tensor in found.items():
        expected = ((parts[2][name].double() + parts[4][name].double()) / 2).float()
        assert torch.equal(tensor, expected), name
    assert read_finetune(tmp_path / "mean").stages[0].kept is None
    _tune(make_job(words, tmp_path / "best", make_spec({"updates": 4, "dev_every": 2})))
    curve = [record["dev/accuracy"] for record in metrics.read(tmp_path / "best" / "metrics.jsonl")]
    best = 2 if curve[0] >= curve[1] else 4  # type: ignore[operator]
    assert read_finetune(tmp_path / "best").stages[0].kept == best
    assert all(torch.equal(tensor, parts[best][name]) for name, tensor in _system(tmp_path / "best").items())


def test_a_loss_that_is_no_number_ends_it_and_names_the_recordings(
    words: LabelledFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = step._forward_backward

    def spoil(run: Any, arrived: Any, progress: Any) -> Any:
        if progress.update == 1:
            arrived.heard.waveforms[0, 0] = float("nan")
        return original(run, arrived, progress)

    monkeypatch.setattr(step, "_forward_backward", spoil)
    with pytest.raises(BadDataError, match=r"update 2 has loss nan.*words/") as raised:
        _tune(make_job(words, tmp_path, make_spec({})))
    assert raised.value.code == "NOT_FINITE"


def test_a_stage_may_change_fields_of_the_head_and_nothing_else(words: LabelledFolders, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="projektion"):
        make_spec({}, {"head": {"projektion": 3}})
    with pytest.raises(ValueError, match="type of the head"):
        make_spec({}, {"head": {"type": "blstm"}})


@pytest.mark.parametrize(
    "optimizer", [{"type": "adamw", "betas": [0.9, 1.0]}, {"type": "sgd", "momentum": 0.0, "nesterov": True}]
)
def test_what_an_optimizer_refuses_is_no_stage(optimizer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected less than 1|needs a momentum"):
        make_spec({}, {"optimizer": optimizer})


@pytest.mark.parametrize("task", ["se", "ss"])
def test_nothing_is_mixed_into_mixtures_whose_targets_are_known(task: str) -> None:
    given: dict[str, Any] = {"task": {"type": task}, "head": {"type": "mask"}}
    assert make_spec(**given).mix is None
    with pytest.raises(ValueError, match=f"of the task {task} are those of its mixtures"):
        make_spec(**given, mix={"name": "noisy", "probability": 0.5})


def test_what_cannot_be_cut_is_refused_before_anything_is_trained(words: LabelledFolders, tmp_path: Path) -> None:
    spec = make_spec({"crop_seconds": 0.2}, task={"type": "asr"}, head={"type": "frame_linear", "projection": 8})
    with pytest.raises(UsageError, match="cannot be cut") as raised:
        _tune(make_job(words, tmp_path, spec))
    assert raised.value.code == "CROP_IMPOSSIBLE"
    assert not (tmp_path / "snapshots").exists()
