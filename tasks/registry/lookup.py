"""Look into the registry, fetch a model from it, move an alias: by name, version or alias."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.registry.connection import KEY_TAG, Registry, connect, translate_registry_errors, without_password
from wavlm.errors import BadDataError, UsageError
from wavlm.pipeline.store import Store
from wavlm.storage.files import sha256_of, sync

CHAMPION = "champion"
VERDICT_TAG = "wavlm.gate"  # of a version: why it is champion, or is not
# Two versions can be compared by a metric if they have the same digest under its tag: of all that the metric
# depends on, apart from the model.
VALID_TAG, PROBE_TAG = "comparable.valid", "comparable.probe"
TAG_OF = {"probe/pnmi": PROBE_TAG, "valid/loss": VALID_TAG, "valid/masked_accuracy": VALID_TAG}
METRIC_TAG = "measured."  # before the name of one of these metrics: the version's own figure
MODEL_FOLDER = "hf"  # of a run's artifacts: a Hugging Face folder, and an MLmodel for mlflow.pyfunc
NATIVE_FOLDER = "native"  # in it: the model as the store holds it
MODEL_FILES = ("model.safetensors", "network.json")  # of the native folder
_REFERENCE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*)(:(?P<version>\d+)|@(?P<alias>[A-Za-z][A-Za-z0-9_-]*))?")
_ALIAS = re.compile(r"(?!v\d+$)(?!latest$)[a-z][a-z0-9_-]{0,63}")
_PAGE = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: int
    aliases: tuple[str, ...]
    iteration: int | None
    key: str  # of the Model artifact
    run_id: str
    created_unix: float
    source: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]  # last value of each; empty in lists

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model, newest version first."""

    name: str
    uri: str  # of the registry
    versions: tuple[Version, ...]


def sha256_tag(path: str) -> str:
    """Tag under which a version keeps the sha256 of one of its files, by the path below its folder."""
    return f"sha256.{path}"


def native_path(name: str) -> str:
    """The path of one of the `MODEL_FILES` below a version's folder."""
    return f"{NATIVE_FOLDER}/{name}"


def list_models(store: Store) -> tuple[RegisteredModel, ...]:
    """All registered models with their versions."""
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        names = [model.name for model in registry.client.search_registered_models(max_results=_PAGE)]
        uri = without_password(registry.uri)
        return tuple(RegisteredModel(name, uri, versions_of(registry, name)) for name in names)


def show_model(store: Store, reference: str) -> RegisteredModel:
    """The versions that a reference means (`NAME`: all of them), with their metrics.

    For `NAME` it is logged which version other commands take for it, and why.
    """
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        name, version, alias = _parts(reference)
        if version or alias:
            chosen: tuple[Version, ...] = (find_version(registry, reference),)
        else:
            chosen = _require_versions(registry, name)
            if chosen:
                _choose(registry, name, chosen)
        full = tuple(with_metrics(registry, item) for item in chosen)
    return RegisteredModel(name, without_password(registry.uri), full)


def resolve(store: Store, reference: str) -> Version:
    """The one version that a reference means. Which one that is for `NAME` alone, and why, is logged."""
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        return find_version(registry, reference)


def pull_model(store: Store, reference: str, out: Path) -> Path:
    """Download a version's model into a new folder, once its bytes are those that were registered.

    `NAME` alone means its champion, or its newest version if none is: which one it is, is logged.
    Raises BadDataError if a file is not what its tag says.
    """
    if out.exists():
        raise UsageError("OUT_EXISTS", f"there is something already; at {out}; name a new folder")
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        version = find_version(registry, reference)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
    try:
        for name in MODEL_FILES:
            _require_digest(version, name)
            path = f"{MODEL_FOLDER}/{native_path(name)}"
            with translate_registry_errors(registry.uri):
                found = registry.client.download_artifacts(version.run_id, path, str(temporary))
            _verify(version, Path(found), name)
            Path(found).replace(temporary / name)
            sync(temporary / name)
        shutil.rmtree(temporary / MODEL_FOLDER, ignore_errors=True)
        temporary.chmod(0o755)
        temporary.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def promote(store: Store, reference: str, alias: str) -> Version:
    """Point an alias at a version; returns the version with its new aliases."""
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            "ALIAS_BAD",
            f"{alias!r} cannot be an alias; expected lower case letters, digits, - and _, starting "
            "with a letter, and not `latest` or `v1`; for example champion",
        )
    registry = connect(store)
    with translate_registry_errors(registry.uri):
        version = find_version(registry, reference)
        champion = next((item for item in versions_of(registry, version.name) if CHAMPION in item.aliases), None)
        registry.client.set_registered_model_alias(version.name, alias, str(version.version))
        if alias == CHAMPION:
            registry.client.set_model_version_tag(version.name, str(version.version), VERDICT_TAG, "promoted by hand")
            record_end(registry, champion, version)
        return find_version(registry, version.reference)


def record_end(registry: Registry, champion: Version | None, successor: Version) -> None:
    """Say at the version that was champion that another one is now; nothing if there was none, or the same one."""
    if champion is not None and champion.version != successor.version:
        words = f"champion until {successor.reference}"
        registry.client.set_model_version_tag(champion.name, str(champion.version), VERDICT_TAG, words)


def find_version(registry: Registry, reference: str) -> Version:
    """The one version that a reference means; `NAME` alone means its champion, or its newest version if none is.

    Raises UsageError that lists what there is.
    """
    name, number, alias = _parts(reference)
    versions = _require_versions(registry, name)
    if versions and not number and not alias:
        return _choose(registry, name, versions)
    for version in versions:
        if version.version == int(number) if number else alias in version.aliases:
            return version
    there = ", ".join(
        f"{item.version}{' (' + ', '.join(item.aliases) + ')' if item.aliases else ''}" for item in versions
    )
    raise UsageError(
        "VERSION_UNKNOWN",
        f"no version of {name} is {f'number {number}' if number else f'the {alias or CHAMPION}'}; "
        f"at {without_password(registry.uri)}; there is: {there or 'none'}",
    )


def _choose(registry: Registry, name: str, versions: Sequence[Version]) -> Version:
    """The version that a name alone means, which is logged with the reason. `versions`: newest first, not empty."""
    champion = next((item for item in versions if CHAMPION in item.aliases), None)
    chosen = champion or versions[0]
    kind = "the champion" if champion else "the newest, for none is champion"
    _log.info(
        "%s without a version means %s, iteration %s: %s; %s; at %s",
        name,
        chosen.reference,
        chosen.iteration or "?",
        kind,
        chosen.tags.get(VERDICT_TAG, "no reason is recorded"),
        without_password(registry.uri),
    )
    return chosen


def find_by_key(registry: Registry, name: str, key: str) -> Version | None:
    """The version of a registered model that was made from the Model artifact of this key."""
    return next((item for item in versions_of(registry, name) if item.key == key), None)


def versions_of(registry: Registry, name: str) -> tuple[Version, ...]:
    """All versions of a registered model, newest first."""
    aliases = registry.client.get_registered_model(name).aliases
    found = registry.client.search_model_versions(f"name = '{name}'", max_results=_PAGE)
    versions = [to_version(item, aliases) for item in found]
    return tuple(sorted(versions, key=lambda item: -item.version))


def _parts(reference: str) -> tuple[str, str | None, str | None]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError(
            "REFERENCE_BAD", f"this names no model; at {reference!r}; write NAME, NAME:VERSION or NAME@ALIAS"
        )
    return match["name"], match["version"], match["alias"]


def _require_versions(registry: Registry, name: str) -> tuple[Version, ...]:
    names = sorted(model.name for model in registry.client.search_registered_models(max_results=_PAGE))
    if name not in names:
        raise UsageError(
            "MODEL_UNKNOWN",
            f"no registered model is called {name}; at {without_password(registry.uri)}; "
            f"there is: {', '.join(names) or 'none'}",
        )
    return versions_of(registry, name)


def to_version(found: Any, aliases: Mapping[str, str]) -> Version:
    """From MLflow's ModelVersion, and the registered model's aliases with their versions."""
    number = int(found.version)
    iteration = found.tags.get("wavlm.iteration")
    return Version(
        name=found.name,
        version=number,
        aliases=tuple(sorted(alias for alias, to in aliases.items() if int(to) == number)),
        iteration=int(iteration) if iteration else None,
        key=found.tags.get(KEY_TAG, ""),
        run_id=found.run_id or "",
        created_unix=found.creation_timestamp / 1000,
        source=found.source,
        tags=dict(found.tags),
        metrics={},
    )


def with_metrics(registry: Registry, version: Version) -> Version:
    """The version with the last value of each metric of its run."""
    if not version.run_id:
        return version
    metrics = dict(registry.client.get_run(version.run_id).data.metrics)
    if VALID_TAG in version.tags:  # an earlier version of the pipeline did not write figures as tags
        # A run is shared by names: it may hold the figures of another recipe's probe.
        others = {name: value for name, value in metrics.items() if name not in TAG_OF}
        metrics = others | {
            name: float(version.tags[tag]) for name in TAG_OF if (tag := METRIC_TAG + name) in version.tags
        }
    return replace(version, metrics=metrics)


def _require_digest(version: Version, name: str) -> None:
    if sha256_tag(native_path(name)) not in version.tags:
        raise BadDataError(
            "VERSION_FOREIGN",
            f"{version.reference} has no digest of {native_path(name)}: this version of the pipeline did not register "
            f"it; at {version.source}; download it with MLflow, or register the model again with `wavlm sync RECIPE`",
        )


def _verify(version: Version, path: Path, name: str) -> None:
    expected = version.tags[sha256_tag(native_path(name))]
    found = sha256_of(path)
    if found != expected:
        raise BadDataError(
            "MODEL_TAMPERED",
            f"{name} of {version.reference} has sha256 {found}, expected {expected}; "
            f"at {version.source}; do not use it; register the model again from its store",
        )
