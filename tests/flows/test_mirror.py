"""Machines that share a bucket and no disk: what one has made the others take, and the bytes are those of one machine.

Two "machines" are two stores here. The trainer, which is a process of its own, reads through the cache.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.pretrain import pretrain
from flows.stage import stage
from tests.object_stores import KEY, SECRET, environment, folder_address, moto_endpoint
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.mirror.sharing import has_given
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.pipeline.verify import verify
from wavlm.specs.yaml import read_recipe

__all__ = ["folder_address", "moto_endpoint"]
DATA = ("corpus", "shards", "codebook", "labels", "mixtures")
ONE = Runtime(workers=1, threads=1, tracking=False)


def digests(store: Path) -> dict[str, str]:
    """sha256 of each file of the data stages, and of the model."""
    return {
        f"{record.parent.parent.name}/{name}": entry["sha256"]
        for record in store.glob("*/*/artifact.json")
        for name, entry in json.loads(record.read_text())["files"].items()
        if record.parent.parent.name in DATA or name == "model.safetensors"
    }


@pytest.mark.full
@pytest.mark.usefixtures("prefect_api")
def test_two_machines_that_share_a_bucket_make_the_bytes_of_one(
    tiny_recipe: Path,
    moto_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One makes the data, one trains on them through its cache, and a third makes nothing."""
    recipe = str(tiny_recipe.with_name("tiny-first.yaml"))
    for name, value in environment(moto_endpoint).items():
        monkeypatch.setenv(name, value)
    shared = ONE.model_copy(update={"mirror": f"s3://bucket/{tmp_path.name}"})
    alone, data, gpu, third = (tmp_path / name for name in ("alone", "data", "gpu", "third"))

    pretrain(recipe, str(data), shared, until="labels")
    pretrain(recipe, str(gpu), shared.model_copy(update={"cache_gigabytes": 1}), until="pretrain")
    pretrain(recipe, str(third), shared, until="pretrain")
    pretrain(recipe, str(alone), ONE, until="pretrain")

    assert not list(gpu.glob("shards/*/*.tar"))
    assert list((gpu / "cache").glob("?" * 64))
    assert not list(data.glob("pretrain/*"))
    made = digests(alone)
    assert len({name.partition("/")[0] for name in made}) == len(DATA) + 1
    assert digests(gpu) == digests(third) == made
    assert digests(data).items() < made.items()
    for store in (data, gpu, third):
        assert [verify(folder) for folder in Store(store).folders()] == [[] for _ in Store(store).folders()]
    for secret in (KEY, SECRET):
        assert secret not in caplog.text
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_api")
def test_a_mirror_that_does_not_answer_stops_no_work_and_is_given_the_rest_later(
    tiny_recipe: Path, folder_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = str(tiny_recipe.with_name("tiny-first.yaml"))
    store, folder = tmp_path / "store", Path(folder_address.removeprefix("file://"))
    shared = ONE.model_copy(update={"mirror": folder_address})
    stage("corpus", recipe, store=str(store), runtime=ONE)
    (corpus,) = (item for item in plan(resolve(read_recipe(Path(recipe)), Store(store))) if item.kind == "corpus")
    assert not has_given([corpus], shared)
    stage("corpus", recipe, store=str(store), runtime=shared)  # nothing is left to make, and something to give
    assert has_given([corpus], shared)
    shutil.rmtree(folder)
    with pytest.raises(UsageError, match="MIRROR_MISSING"):
        stage("shards", recipe, store=str(tmp_path / "other"), runtime=shared)
