"""The run of a model in MLflow: one per experiment, found by the key of its model.

Every recipe has an experiment of its own, so that its iterations stand side by side and apart from others'.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.registry.bounds import allow_files
from tasks.registry.connection import Registry, hold_registry
from tasks.registry.database import location, place_beside
from tasks.registry.provenance import joined, run_tags
from wavlm.pipeline.artifacts import Model

KEY_TAG = "wavlm.key"
ITERATION_TAG = "wavlm.iteration"
RECIPE_TAG = "wavlm.recipe"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
SHORT_KEY = 8  # characters of the key that the name of a run has


@dataclass(frozen=True)
class Tracked:
    """A model and for which recipe it is made, in which experiment."""

    model: Model
    recipe: str
    chosen: str = ""  # the experiment, if somebody chose one

    @property
    def experiment(self) -> str:
        """The chosen one, that of MLFLOW_EXPERIMENT_NAME, or the recipe's own."""
        return self.chosen or os.environ.get(EXPERIMENT_VARIABLE, "").strip() or f"wavlm/{self.recipe}"

    @property
    def run_name(self) -> str:
        return f"{self.recipe}/iteration{self.model.iteration}/{self.model.key[:SHORT_KEY]}"

    @property
    def tags(self) -> dict[str, str]:
        """What people filter runs and versions by: recipe, iteration, codebook and corpora."""
        found = {
            KEY_TAG: self.model.key,
            ITERATION_TAG: str(self.model.iteration),
            RECIPE_TAG: self.recipe,
            "wavlm.corpora": joined(sorted(item.corpus.name for item in self.model.shards)),
        }
        if codebook := self.model.codebook:
            found["wavlm.codebook"] = f"{codebook.name}-{codebook.key}"
        return found


def open_run(registry: Registry, tracked: Tracked, *, is_new: bool = False) -> str:
    """The id of the model's run in its experiment, with status RUNNING: the newest with its key, or a new one."""
    client = registry.client
    with hold_registry(registry.lock):
        experiment = _experiment(registry, tracked.experiment)
        wanted = f"tags.`{KEY_TAG}` = '{tracked.model.key}' AND tags.`{RECIPE_TAG}` = '{tracked.recipe}'"
        runs = client.search_runs([experiment], wanted, max_results=1)  # newest first
        if is_new or not runs:
            tags = tracked.tags | run_tags(tracked.recipe)
            run = client.create_run(experiment, tags=tags, run_name=tracked.run_name)
            return str(run.info.run_id)
    run_id = str(runs[0].info.run_id)
    client.update_run(run_id, status="RUNNING")
    return run_id


def open_system_run(
    registry: Registry, name: str, tags: dict[str, str], chosen: str = "", *, is_new: bool = False
) -> str:
    """The id of a system's run, with status RUNNING: the newest with its key, or a new one. chosen: the experiment."""
    client, key = registry.client, tags[KEY_TAG]
    wanted = chosen or os.environ.get(EXPERIMENT_VARIABLE, "").strip() or f"wavlm/{name}"
    with hold_registry(registry.lock):
        experiment = _experiment(registry, wanted)
        runs = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        if is_new or not runs:
            made = client.create_run(experiment, tags=tags | run_tags(name), run_name=f"{name}/{key[:SHORT_KEY]}")
            return str(made.info.run_id)
    run_id = str(runs[0].info.run_id)
    for tag in sorted(tags.items() - runs[0].data.tags.items()):  # a run that followed the training knows no digests
        client.set_tag(run_id, *tag)
    client.update_run(run_id, status="RUNNING")
    return run_id


def revive_run(registry: Registry, run_id: str) -> bool:
    """Whether a run is there. One that somebody deleted is restored, with its experiment, so that it can be written."""
    from mlflow.exceptions import MlflowException

    client = registry.client
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if run.info.lifecycle_stage == "deleted":
        if client.get_experiment(run.info.experiment_id).lifecycle_stage == "deleted":
            client.restore_experiment(run.info.experiment_id)
        client.restore_run(run_id)
    return True


def _experiment(registry: Registry, name: str) -> str:
    """The id of an experiment; created if it is not there, and restored if somebody deleted it."""
    found = registry.client.get_experiment_by_name(name)
    if found is None:
        return str(registry.client.create_experiment(name, registry.artifact_root))
    if found.lifecycle_stage == "deleted":  # its name stays taken
        registry.client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def log_file(registry: Registry, run_id: str, path: Path, folder: str) -> None:
    """Put a file among the artifacts of a run."""
    beside = _folder_of(registry, run_id)
    if beside is None:
        registry.client.log_artifact(run_id, str(path), folder)
        return
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    repository = LocalArtifactRepository(location(beside))
    repository.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]


def remove_cut_uploads(registry: Registry, run_id: str, folders: Iterable[str]) -> None:
    """Remove what an earlier attempt, which was killed, left half in folders of a run's artifacts.

    MLflow writes a file under a name of its own first. What is left of it would count as a file of the model. Who calls
    this is the only one that writes into these folders. Behind a server it is that server's matter.
    """
    if beside := _folder_of(registry, run_id):
        for folder in folders:
            for path in (beside / folder).glob(".artifact.uploading.*"):
                path.unlink(missing_ok=True)


def fetch_file(registry: Registry, run_id: str, path: str, folder: Path) -> Path:
    """Copy one artifact of a run into a folder, under its own name."""
    beside, copied = _folder_of(registry, run_id), folder / Path(path).name
    if beside:
        return Path(shutil.copyfile(beside / path, copied))
    with tempfile.TemporaryDirectory(dir=folder) as temporary, allow_files():
        return Path(registry.client.download_artifacts(run_id, path, temporary)).replace(copied)


def has_file(registry: Registry, run_id: str, path: str) -> bool:
    """Whether a file is among a run's artifacts."""
    if beside := _folder_of(registry, run_id):
        return (beside / path).is_file()
    folder = path.rpartition("/")[0] or None
    return path in [item.path for item in registry.client.list_artifacts(run_id, folder)]


def artifact_uri(registry: Registry, run_id: str) -> str:
    """Where the artifacts of a run are, as MLflow writes it down."""
    beside = _folder_of(registry, run_id)
    return location(beside) if beside else str(registry.client.get_run(run_id).info.artifact_uri)


def page_of(registry: Registry, run_id: str) -> str:
    """The page of a run's files, relative to MLflow's pages, whatever the address of its server."""
    return f"#/experiments/{experiment_of(registry, run_id)}/runs/{run_id}/artifacts"


def experiment_of(registry: Registry, run_id: str) -> str:
    """The id of the experiment that a run is in."""
    return str(registry.client.get_run(run_id).info.experiment_id)


def _folder_of(registry: Registry, run_id: str) -> Path | None:
    """Where the files of a run are, if they are beside the registry's database: there now, whatever it says."""
    if registry.file is None:
        return None
    return place_beside(registry.file, run_id, registry.client.get_run(run_id).info.artifact_uri)
