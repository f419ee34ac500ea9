"""Every field of a model, and every setting of how to run, reaches the trainer's job file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from tasks.jobs import job_of
from tests.pipeline.test_artifacts import corpus
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.execution.job import LabelledShards, StartWeights, TrainJob, read_job
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Codebook, Corpus, Labels, Mixtures, Model, Shards
from wavlm.pipeline.store import Store
from wavlm.specs import CodebookSpec, MfccFeatures, MixSpec, MixturesSpec, ShardSpec, StartSpec
from wavlm.storage.files import write_json

RUNTIME = Runtime(
    workers=3, gpus=0, processes=4, threads=5, snapshot_every=6, keep_snapshots=7, compile=True,
    checkpoint_activations=True, shard_parameters=True, tracking=False,
    wait_minutes=8, experiment="nine", require_registry=True,
    scratch="/local", nodes=2, launcher="srun", address="10.0.0.7", restarts=3,
    executor="dask", cluster="tcp://10.0.0.7:8786", side_by_side=4, downloads=5,
    mirror="s3://bucket/lab", cache="/local/tars", cache_gigabytes=8, features_gigabytes=9,
)  # fmt: skip


def shards(name: str) -> Shards:
    return Shards(ShardSpec(min_seconds=1, max_seconds=10), Corpus(corpus(name)))


@pytest.fixture
def model() -> Model:
    """One in which every field is given, and no two folders are the same."""
    mix = MixSpec(name="noisy", probability=0.2, noise_probability=0.1)
    codebook = Codebook(CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=13), (shards("ab"),))
    return Model(
        network=tiny_network(dropout=0.25),
        train=tiny_training(seed=9),
        data=(Labels(codebook, shards("ab")), Labels(codebook, shards("cd"))),
        mix=mix,
        noise=(shards("no"),),
        rooms=(shards("ro"), shards("om")),
        start=StartSpec(folder="weights", sha256="0" * 64),
        mixtures=Mixtures(MixturesSpec(num_utterances=2), mix, (shards("ab"),)),
        iteration=2,
    )


def test_a_job_holds_what_the_model_and_the_command_line_say(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "store")
    job = job_of(model, store, RUNTIME, tmp_path / "out")
    at = store.path
    assert job == TrainJob(
        key=model.key,
        out=tmp_path / "out",
        network=tiny_network(dropout=0.25),
        train=tiny_training(seed=9),
        num_clusters=13,
        data=tuple(
            LabelledShards(shards=at(item.shards), labels=at(item), corpus=item.shards.name) for item in model.labels
        ),
        mix=model.mix,
        noise=(at(shards("no")),),
        rooms=(at(shards("ro")), at(shards("om"))),
        mixtures=at(model.mixtures),  # type: ignore[arg-type]
        start=StartWeights(folder=tmp_path / "weights", sha256="0" * 64),
        runtime=RUNTIME,
    )
    write_json(tmp_path / "job.json", job.model_dump(mode="json"))
    assert read_job(tmp_path / "job.json") == job


def test_this_model_and_this_runtime_leave_no_field_as_it_would_be_without_them(model: Model) -> None:
    """Else the test above could not tell a field that arrives from one that is left out."""
    assert {item.name for item in fields(model) if getattr(model, item.name) == item.default} == set()
    same = {name for name, field in Runtime.model_fields.items() if getattr(RUNTIME, name) == field.default}
    assert same == {"gpus"}  # a model is trained on GPUs or with processes


def test_a_model_without_extras_has_a_job_without_them(model: Model, tmp_path: Path) -> None:
    plain = Model(network=model.network, train=model.train, data=model.data)
    job = job_of(plain, Store(tmp_path), RUNTIME, tmp_path / "out")
    assert (job.mix, job.noise, job.rooms, job.mixtures, job.start) == (None, (), (), None, None)
