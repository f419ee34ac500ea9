"""Register a system: make it a version of its registered model, exactly once, with what it was made from.

A version is found by the key of its system and by its weights, which never change. There is no gate: systems are
compared in `wavlm results`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from tasks.orchestration.stage import say_outcome, stage_task
from tasks.orchestration.waiting import wait_out
from tasks.registry.connection import Registry, connect, translate_registry_errors
from tasks.registry.following import Uploader
from tasks.registry.provenance import git_commit
from tasks.registry.publish import create_model
from tasks.registry.runs import artifact_uri, log_file, open_system_run, remove_cut_uploads, revive_run
from tasks.registry.system_versions import SYSTEM_FOLDER
from tasks.registry.versions import Version, has_model, sha256_tag, to_version, versions_of
from wavlm.errors import Code, LockedError, ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Finetune, SystemRegistration
from wavlm.pipeline.curves import Point, read_points
from wavlm.pipeline.registration import RegistrationFacts, configured_registry, write_registration
from wavlm.pipeline.store import Store
from wavlm.pipeline.systems import figures_of_system, made_from, tags_of_system
from wavlm.storage.files import sha256_of, write_json
from wavlm.storage.seals import check_sealed

LINEAGE_FILE = "lineage.json"
FILES = (
    *("model.safetensors", "network.json", "head.safetensors", "head.json", "scoring.safetensors"),
    *("finetune.json", "results.json", "predictions.parquet", "curves.png"),
)
WEIGHTS = ("model.safetensors", "head.safetensors")

_log = logging.getLogger(__name__)


@stage_task
def register_system(artifact: SystemRegistration, store: Store, runtime: Runtime) -> Path | None:
    """The registration's folder; None, with a warning, if the registry does not answer or may not be written.

    The next run of the same command registers the system then.
    """
    try:
        folder = wait_out(lambda: store.make(artifact, lambda out: _build(artifact, store, runtime, out)), runtime)
    except (ServiceMissingError, LockedError) as error:
        if isinstance(error, LockedError) and error.code != Code.REGISTRY_READONLY:
            raise
        _log.warning("%s is not registered yet: %s", artifact.system, error)
        return None
    say_outcome(artifact, store)
    return folder


def _build(artifact: SystemRegistration, store: Store, runtime: Runtime, out: Path) -> RegistrationFacts:
    system = artifact.system
    folder = store.path(system)
    files = [folder / name for name in FILES if (folder / name).exists()]
    for path in files:
        check_sealed(path)  # before any is there
    write_json(out / LINEAGE_FILE, {"system": system.key, "keys": dict(made_from(system)), "commit": git_commit()})
    tags = tags_of_system(system) | {sha256_tag(path.name): sha256_of(path) for path in (*files, out / LINEAGE_FILE)}
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        found = _find(registry, artifact, tags)
        run_id = found.run_id if found else _open_run(registry, artifact, tags, runtime.experiment)
        _describe(registry, run_id, system, store)
        remove_cut_uploads(registry, run_id, [SYSTEM_FOLDER])
        for path in (*files, out / LINEAGE_FILE):
            log_file(registry, run_id, path, SYSTEM_FOLDER)
        version = found or _create(registry, artifact, run_id, tags)
        registry.client.set_terminated(run_id, "FINISHED")
        experiment_id = str(registry.client.get_run(run_id).info.experiment_id)
    facts = RegistrationFacts(
        name=artifact.registry_name,
        version=version.version,
        run_id=run_id,
        uri=configured_registry(store.root),
        source=version.source.removeprefix(f"{store.root.resolve()}/"),
        sha256=tags[sha256_tag("head.safetensors")],
        aliases=version.aliases,
        champion="systems have no gate",
        experiment_id=experiment_id,
    )
    write_registration(out, facts)
    return facts


def _describe(registry: Registry, run_id: str, system: Finetune, store: Store) -> None:
    """The curve, and the figures on the test part behind it."""
    curve = read_points(store.path(system))
    last = curve[-1] if curve else Point("", 0, 0.0, 0)
    figures = figures_of_system(system, store)
    Uploader(registry.client, run_id).push_and_look(
        [*curve, *(Point(name, last.step, value, last.unix_ms) for name, value in figures.items())]
    )


def _find(registry: Registry, artifact: SystemRegistration, tags: Mapping[str, str]) -> Version | None:
    """The version of this system with these weights whose run is there."""
    if not has_model(registry, artifact.registry_name):
        return None
    of_system = [item for item in versions_of(registry, artifact.registry_name) if item.key == artifact.system.key]
    same = [item for item in of_system if _weights(item.tags) == _weights(tags)]
    return next((item for item in reversed(same) if revive_run(registry, item.run_id)), None)


def _open_run(registry: Registry, artifact: SystemRegistration, tags: dict[str, str], experiment: str) -> str:
    """A run for a new version: one of a version with other weights keeps its files."""
    run_id = open_system_run(registry, artifact.registry_name, tags, experiment)
    if registry.client.search_model_versions(f"run_id = '{run_id}'"):
        return open_system_run(registry, artifact.registry_name, tags, experiment, is_new=True)
    return run_id


def _weights(tags: Mapping[str, str]) -> list[str | None]:
    return [tags.get(sha256_tag(name)) for name in WEIGHTS]


def _create(registry: Registry, artifact: SystemRegistration, run_id: str, tags: dict[str, str]) -> Version:
    name = artifact.registry_name
    create_model(registry, name)
    source = f"{artifact_uri(registry, run_id)}/{SYSTEM_FOLDER}"
    return to_version(registry.client.create_model_version(name, source, run_id, tags=tags), {})
