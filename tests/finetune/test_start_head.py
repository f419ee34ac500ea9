"""A system goes on from another one: the same outputs at first, and what depends on the classes anew for others."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.finetune.made import make_job, make_spec, say
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import Recalls, Size
from wavlm.execution.finetune_job import FinetuneJob, HeardFolders, LabelledFolders
from wavlm.execution.job import StartWeights
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.export.errors import ImportRefusedError
from wavlm.finetune.data import TaskInStage, TrainingData
from wavlm.finetune.facts import HeadFile, read_finetune, write_head
from wavlm.finetune.heard import say_heard
from wavlm.finetune.load import LoadedSystem, load_system
from wavlm.finetune.loop import tune
from wavlm.finetune.sources import copy_system
from wavlm.finetune.start_head import check_start, find_anew, take_head
from wavlm.pipeline.artifacts import Finetune
from wavlm.pipeline.finetunes import job_of_system
from wavlm.pipeline.plan import plan
from wavlm.pipeline.request import write_finetune_request
from wavlm.pipeline.store import Store
from wavlm.pipeline.training_data import find_trained
from wavlm.specs.evaluation import FbankBaseline
from wavlm.specs.system_file import read_finetune as read_spec
from wavlm.specs.yaml import read_recipe
from wavlm.storage.files import sha256_of

SIZE = Size(3, 16, 320)


def _tune(job: FinetuneJob) -> Path:
    torch.set_num_threads(1)
    tune(job, Ranks(0, 1, torch.device("cpu")), StopRequest())
    return job.out


@pytest.fixture(scope="module")
def first(words: LabelledFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system whose head and network were trained."""
    return _tune(make_job(words, tmp_path_factory.mktemp("first")))


def _goes_on(words: LabelledFolders, out: Path, first: Path, **fields: Any) -> FinetuneJob:
    job = make_job(words, out, make_spec(fields, system="first", baseline=None))
    start, head = (
        StartWeights(folder=first, sha256=sha256_of(first / name)) for name in ("model.safetensors", "head.safetensors")
    )
    return job.model_copy(update={"start": start, "head": head, "subject_name": "first"})


def _logits(system: LoadedSystem) -> list[torch.Tensor]:
    batch = system.batch(say("cab", 7))
    with torch.inference_mode():
        return list(system.system.head(batch.pooled))


def test_training_that_changes_nothing_leaves_the_outputs_of_the_first_system_bit_by_bit(
    words: LabelledFolders, first: Path, tmp_path: Path
) -> None:
    """A rate of 1e-30 is lost in rounding, for all weights but exact zeros."""
    job = _goes_on(words, tmp_path, first, updates=2, dev_every=1, peak_lr=1e-30)
    then = _tune(job)
    before, after = (_logits(load_system(folder, "cpu")) for folder in (first, then))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert (first / "model.safetensors").read_bytes() == (then / "model.safetensors").read_bytes()
    fresh = _logits(load_system(_tune(make_job(words, tmp_path / "fresh", make_spec({"updates": 1, "dev_every": 1})))))
    assert not any(torch.equal(one, other) for one, other in zip(before, fresh, strict=True))
    assert "went on from first, network and head." in read_finetune(then).results.notes[0]


def test_the_rows_of_other_classes_begin_anew_and_all_else_is_taken(
    words: LabelledFolders, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = _goes_on(words, tmp_path, first)
    size = replace(SIZE, num_channels=load_system(first, "cpu").about.num_channels)
    size = replace(size, num_states=load_system(first, "cpu").about.num_states)
    task = make_task(TaskInStage(job.spec.task, job.spec.head))
    assert isinstance(task, Recalls)
    saved = load_file(first / "head.safetensors")
    for known, number in (({"class": ["ab", "ba", "cab"]}, 0), ({"class": ["ab", "ba", "zz"]}, 2)):
        trainee = task.recall(known)  # the second has as many classes, so that no shape tells it
        anew = find_anew(job, trainee, size)
        assert len(anew) == number, anew
        head = trainee.make_head(size)
        fresh = {name: value.clone() for name, value in head.state_dict().items()}
        with caplog.at_level(logging.WARNING):
            take_head(job, head, trainee, size)
        for name, value in head.state_dict().items():
            assert torch.equal(value, fresh[name] if name in anew else saved[name]), name
        assert {len(saved[name]) for name in anew} <= {3}  # a row per class
    assert "begins anew" in caplog.text


def test_another_head_task_or_weights_are_refused_before_the_data_are_read(
    words: LabelledFolders, first: Path, tmp_path: Path
) -> None:
    job = _goes_on(words, tmp_path, first)
    nowhere = job.model_copy(update={"data": (words.model_copy(update={"corpus": tmp_path / "none"}),)})
    wide = make_spec(system="first", baseline=None, head={"type": "pooled_linear", "projection": 9})
    with pytest.raises(UsageError, match=r"HEAD_SHAPE.* of tiny is \(3, 8\), in tiny \(3, 9\)"):
        _tune(nowhere.model_copy(update={"spec": wide}))
    other = make_spec(system="first", baseline=None, task={"type": "sid"})
    with pytest.raises(UsageError, match=r"SYSTEM_TASK.*task ks"):
        check_start(other, first)
    changed = job.model_copy(update={"head": StartWeights(folder=first, sha256="0" * 64)})
    with pytest.raises(BadDataError, match="CHECKSUM"):
        _tune(changed)


def test_a_store_takes_all_files_of_a_system_or_refuses_it(first: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    facts = copy_system(first, tmp_path / "out")
    assert (facts.layout, facts.sha256) == ("system", sha256_of(first / "model.safetensors"))
    one, other = (_logits(load_system(folder, "cpu")) for folder in (first, tmp_path / "out"))
    assert all(torch.equal(*both) for both in zip(one, other, strict=True))
    (tmp_path / "out" / "head.safetensors").unlink()
    with pytest.raises(ImportRefusedError, match=r"head\.safetensors missing"):
        copy_system(tmp_path / "out", tmp_path / "again")
    with pytest.raises(BadDataError, match="MODEL_CHANGED"):
        copy_system(first, tmp_path / "out", content="0" * 64)


def test_the_job_of_a_system_that_goes_on_from_one_without_a_network_can_be_read_by_its_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, spec = Store(tmp_path / "store"), read_spec("sd-eend-eda-small")
    onward = spec.model_copy(update={"name": "onward", "model": "", "system": spec.name})
    recipe = write_finetune_request((spec, onward), "fbank", store)
    first, then = (item for item in plan(read_recipe(recipe)) if isinstance(item, Finetune))
    folder = store.path(first)
    folder.mkdir(parents=True)
    about = HeadFile(
        name=spec.name,
        task=spec.task,
        head=spec.head,
        learned=["a"],
        baseline=FbankBaseline(type="fbank"),
        num_states=1,
        num_channels=80,
        hop_samples=160,
    )
    write_head(folder, about)
    (folder / "head.safetensors").write_bytes(b"weights")
    job = job_of_system(then, store, Runtime(processes=1), tmp_path / "out")
    assert FinetuneJob.model_validate_json(job.model_dump_json()) == job
    assert job.start is None
    assert job.head == StartWeights(folder=folder, sha256=sha256_of(folder / "head.safetensors"))
    assert job.spec.baseline == FbankBaseline(type="fbank")
    assert job.heard == ()  # nothing of it is in this store
    (shards,) = first.shards
    for item in (shards, shards.corpus):
        store.path(item).mkdir(parents=True)
    monkeypatch.setattr(Store, "is_complete", lambda *_: True)
    (heard,) = find_trained(then, store)
    assert (heard.by, heard.corpus, heard.parts) == (spec.name, store.path(shards.corpus), ("made-train",))


def test_test_recordings_that_a_system_beneath_was_trained_on_are_counted_in_a_note(
    words: LabelledFolders, first: Path, tmp_path: Path
) -> None:
    """Of `first` all recordings of the corpus are known, of `other` those of a part that has none."""
    job = _goes_on(words, tmp_path, first)
    split = TrainingData(job).split
    assert list(say_heard(job, split.test)) == []
    everything = HeardFolders(by="first", corpus=words.corpus)
    of_part = everything.model_copy(update={"by": "other", "shards": words.shards, "parts": ("nowhere",)})
    found = list(say_heard(job.model_copy(update={"heard": (everything, of_part)}), split.test))
    assert len(found) == 1
    assert found[0].startswith(f"first was trained on {len(split.test)} of the {len(split.test)} test recordings")
