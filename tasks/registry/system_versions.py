"""Find and fetch versions of registered systems: a network, if there is one, and a head."""

from __future__ import annotations

from pathlib import Path

from tasks.registry.connection import Registry
from tasks.registry.lookup import looking
from tasks.registry.reference import find_version
from tasks.registry.runs import fetch_file
from tasks.registry.versions import Version, sha256_tag
from wavlm.errors import BadDataError
from wavlm.finetune.facts import HEAD_WEIGHTS_FILE
from wavlm.finetune.sources import HEAD_FILES, NETWORK_FILES
from wavlm.nn.description import NETWORK_FILE
from wavlm.pipeline.refreshes import ResolvedModel
from wavlm.pipeline.store import Store
from wavlm.storage.files import sha256_of, sync

SYSTEM_FOLDER = "system"  # of a run's artifacts: a folder that `wavlm.load_system` reads


def find_system_weights(store: Store, reference: str) -> ResolvedModel:
    """The version that a reference means now, and the sha256 of its head.

    Raises UsageError (MODEL_UNKNOWN, VERSION_UNKNOWN), and BadDataError (VERSION_FOREIGN) for what is no system.
    """
    with looking(store, reference) as registry:
        version = find_version(registry, reference)
        _require_head(version)
        return ResolvedModel(
            asked=reference,
            model=version.name,
            version=str(version.version),
            sha256=version.tags[sha256_tag(HEAD_WEIGHTS_FILE)],
            place=registry.place,
        )


def pull_system(store: Store, reference: str, folder: Path) -> Version:
    """Download the files of a system into a folder, once their bytes are those that were registered.

    Raises BadDataError: VERSION_FOREIGN for what is no system, MODEL_TAMPERED for other bytes.
    """
    with looking(store, reference) as registry:
        version = find_version(registry, reference)
        _require_head(version)
        folder.mkdir(parents=True, exist_ok=True)
        names = (*NETWORK_FILES, *HEAD_FILES) if sha256_tag(NETWORK_FILE) in version.tags else HEAD_FILES
        for name in names:
            _fetch(registry, version, name, folder)
        return version


def _fetch(registry: Registry, version: Version, name: str, folder: Path) -> None:
    path = fetch_file(registry, version.run_id, f"{SYSTEM_FOLDER}/{name}", folder)
    expected, found = version.tags.get(sha256_tag(name)), sha256_of(path)
    if found != expected:
        raise BadDataError(
            "MODEL_TAMPERED",
            f"{name} of {version.reference} has sha256 {found}, expected {expected}; at {version.source}; do not use "
            "it; register the system again from its store",
        )
    sync(path)


def _require_head(version: Version) -> None:
    if any(sha256_tag(name) not in version.tags for name in HEAD_FILES):
        raise BadDataError(
            "VERSION_FOREIGN",
            f"{version.reference} has no digest of a head, so it is no system of `wavlm finetune`; at "
            f"{version.source}; name the version of a system, or stand on its network: `model` in place of `system`",
        )
