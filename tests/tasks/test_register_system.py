"""A system from its spec and a model to a registered version: one folder, one version, one row of a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tasks.finetune
from tasks.corpus import corpus
from tasks.finetune import finetune
from tasks.model import model
from tasks.register_system import register_system
from tasks.registry import following
from tasks.registry.connection import connect
from tasks.registry.versions import versions_of
from tasks.requests import request_system
from tasks.shards import shards
from tasks.versions import resolve_versions
from tests.finetune.made import LAYOUT, make_spec, write_words
from tests.folders import read_resolved
from wavlm.engine.ranks import Ranks
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.finetune.load import load_system
from wavlm.finetune.loop import tune
from wavlm.pipeline.artifacts import Finetune, ImportedModel, SystemRegistration
from wavlm.pipeline.cost import cost
from wavlm.pipeline.plan import plan
from wavlm.pipeline.request import write_finetune_request
from wavlm.pipeline.scoreboard import read_stored_results
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe

# Prefect may be asked to follow our loggers; outside a flow it complains.
pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")]
HERE = Runtime(workers=0, processes=1, threads=1)


def _tune_here(job: FinetuneJob, on_record: Callable[[Any], None]) -> None:
    """In this process, and not in one of its own."""
    on_record({"update": 1, "train/loss": 1.5, "time_unix": time.time() + 60})
    tune(job, Ranks(0, 1, torch.device("cpu")), StopRequest())


def _curve_of(store: Store) -> tuple[str, str, float]:
    client = connect(store).client
    (run,) = client.search_runs([it.experiment_id for it in client.search_experiments()])
    return run.info.run_id, run.info.status, run.data.metrics["train/loss"]


def test_a_system_is_made_registered_once_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.finetune, "run_job_here", _tune_here)
    monkeypatch.setattr(following, "CLOSE_SECONDS", 300.0)  # of a machine that is busy
    torch.set_num_threads(1)
    words = write_words(tmp_path / "words", each=3)
    specs = tmp_path / "specs"
    (specs / "corpora").mkdir(parents=True)
    (specs / "finetunes").mkdir()
    layout = LAYOUT.model_dump(mode="json", exclude_defaults=True) | {"type": "generic"}
    about = {"description": "d", "homepage": "h", "license": "l", "citation": "c", "language": "en"}
    source = {"type": "folder", "path": str(words)}
    found = {"name": "words", "role": "evaluation", "sources": [source], "layout": layout, "max_left_out": 0.0, **about}
    (specs / "corpora" / "words.yaml").write_text(yaml.safe_dump(found))
    spec = make_spec({"updates": 2, "dev_every": 1, "frozen": "all"}).model_dump(mode="json", exclude_defaults=True)
    spec |= {"corpora": ["words"], "name": "tiny", "model": "random:tiny"}
    del spec["baseline"]
    (specs / "finetunes" / "tiny.yaml").write_text(yaml.safe_dump(spec))
    store = Store(tmp_path / "store")
    recipe = read_resolved(specs / "finetunes" / "tiny.yaml", store)
    artifacts = plan(recipe)
    assert [item.kind for item in artifacts] == ["corpus", "shards", "finetune", "register_system"]
    assert any(stage.stage == "finetune" and stage.petaflops.known > 0 for stage in cost(recipe, store).stages)
    corpus.fn(artifacts[0], store, HERE)  # type: ignore[arg-type]
    shards.fn(artifacts[1], store, HERE)  # type: ignore[arg-type]
    system, registration = artifacts[2:]
    assert isinstance(system, Finetune)
    assert isinstance(registration, SystemRegistration)
    folder = finetune.fn(system, store, HERE)
    followed = _curve_of(store)
    assert {"curves.png", "head.json", "model.safetensors", "results.json"} <= {path.name for path in folder.iterdir()}
    assert load_system(folder, "cpu").about.learned == {"class": ["ab", "ba", "cab"]}

    register_system.fn(registration, store, HERE)
    store.redo(registration)  # as after a kill between the registry and the seal
    register_system.fn(registration, store, HERE)
    registry = connect(store)
    (version,) = versions_of(registry, "tiny")
    assert followed == (version.run_id, "FINISHED", 1.5)  # the run that followed the training
    assert (version.tags["wavlm.task"], version.tags["start.name"]) == ("ks", "random")
    run = registry.client.get_run(version.run_id)
    assert 0 <= run.data.metrics["test/accuracy"] <= 1
    assert run.data.metrics["train/loss"] > 0

    # As if the version had been trained before, with other weights: they are never replaced under its number.
    registry.client.set_model_version_tag("tiny", "1", "sha256.head.safetensors", "0" * 64)
    store.redo(registration)
    register_system.fn(registration, store, HERE)
    newer, older = versions_of(registry, "tiny")
    assert (newer.version, older.version, older.run_id) == (2, 1, version.run_id)
    assert newer.run_id != older.run_id
    assert newer.tags["sha256.head.safetensors"] == version.tags["sha256.head.safetensors"]

    (row,) = read_stored_results(store)
    assert (row.facts.subject, row.facts.task, row.subject) == ("tiny", "ks", system.key)
    request = write_finetune_request((system.spec,), "random:tiny", store)
    assert plan(read_resolved(request, store))[2].key == system.key

    # Another system goes on from the registered one.
    request = request_system(specs / "finetunes" / "tiny.yaml", "", store, going_on_from="tiny:2")
    resolve_versions(read_recipe(request), store)
    imported, *_, onward, registration = plan(read_resolved(request, store))
    assert isinstance(imported, ImportedModel)
    assert isinstance(onward, Finetune)
    assert isinstance(registration, SystemRegistration)
    taken = model.fn(imported, store, HERE)
    for name in ("head.safetensors", "model.safetensors"):
        assert (taken / name).read_bytes() == (folder / name).read_bytes()
    finetune.fn(onward, store, HERE)
    register_system.fn(registration, store, HERE)
    newest = versions_of(registry, "tiny")[0]
    assert (newest.version, newest.tags["start.version"], newest.tags["start.key"]) == (3, "tiny:2", imported.key)
    assert newest.tags["start.system"] == "system"
