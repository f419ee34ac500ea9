"""Look into the registry, fetch a model from it, move an alias: by name, version or alias."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tasks.registry.ancestry import Genealogist
from tasks.registry.connection import Registry, connect, open_to_look, registry_uri, translate_registry_errors
from tasks.registry.lineage import Lineage, read_lineage, with_lineage
from tasks.registry.reference import find_version, find_versions, is_name
from tasks.registry.versions import (
    CHAMPION,
    MODEL_FILES,
    VERDICT_TAG,
    RegisteredModel,
    Version,
    all_models,
    download,
    has_run,
    native_path,
    sha256_tag,
    versions_of,
    with_metrics,
)
from wavlm.errors import BadDataError, UsageError
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE, read_network
from wavlm.pipeline.refreshes import ResolvedModel
from wavlm.pipeline.registration import RegistrationFacts, without_password
from wavlm.pipeline.store import Store
from wavlm.specs import NetworkSpec
from wavlm.storage.files import sha256_of, sync

DESCENT = "descends from"
_ALIAS = re.compile(r"(?!v\d+$)(?!latest$)[a-z][a-z0-9_-]{0,63}")


def list_models(store: Store) -> tuple[RegisteredModel, ...]:
    """All registered models with their versions. A store without a registry has none; looking makes none."""
    registry = open_to_look(store)
    if registry is None:
        return ()
    with translate_registry_errors(registry.uri):
        return all_models(registry)


def find_deleted(store: Store, registered: Iterable[RegistrationFacts]) -> frozenset[str]:
    """The runs of those versions that somebody deleted from the registry that they were made in.

    A registry that was lost, emptied or made anew does not know the run of a version. It says nothing about the
    version, and so does a name without any version.
    """
    registry = open_to_look(store)
    if registry is None:
        return frozenset()
    with translate_registry_errors(registry.uri):
        there = {model.name: {item.version for item in model.versions} for model in all_models(registry)}
        gone = [item for item in registered if there.get(item.name) and item.version not in there[item.name]]
        return frozenset(item.run_id for item in gone if has_run(registry, item.run_id))


def show_model(store: Store, reference: str) -> RegisteredModel:
    """The versions that a reference means (`NAME`: all of them), with their metrics.

    For `NAME` it is logged which version other commands take for it, and why.
    """
    with looking(store, reference) as registry:
        name, chosen = find_versions(registry, reference)
        newest_first = sorted(chosen, key=lambda item: -item.version)
        genealogist = Genealogist(registry)
        return RegisteredModel(
            name, registry.place, tuple(_with_history(registry, genealogist, item) for item in newest_first)
        )


def list_versions(store: Store, reference: str) -> tuple[Version, ...]:
    """Versions with their metrics, oldest first: all of a name; of one version those that it descends from."""
    with looking(store, reference) as registry:
        name, found = find_versions(registry, reference)
        if is_name(reference, name):
            chosen = tuple(sorted(found, key=lambda item: item.version))
        else:
            chosen = Genealogist(registry).trace(found[0]).versions
        return tuple(with_metrics(registry, item, is_shown=True) for item in chosen)


def _with_history(registry: Registry, genealogist: Genealogist, version: Version) -> Version:
    """The version with its metrics, its lineage, and the versions that it descends from."""
    whole = with_lineage(registry, with_metrics(registry, version, is_shown=True))
    return replace(whole, lineage={**whole.lineage, DESCENT: genealogist.trace(version).words})


def resolve(store: Store, reference: str) -> Version:
    """The one version that a reference means. Which one that is for `NAME` alone, and why, is logged."""
    with looking(store, reference) as registry:
        return find_version(registry, reference)


def pull_model(store: Store, reference: str, out: Path) -> Path:
    """Download a version's model into a new folder, once its bytes are those that were registered.

    `NAME` alone means its champion, or its newest version if none is: which one it is, is logged.
    Raises BadDataError if a file is not what its tag says.
    """
    if out.exists():
        raise UsageError("OUT_EXISTS", f"there is something already; at {out}; name a new folder")
    with looking(store, reference) as registry:
        version = find_version(registry, reference)
        _require_digests(version)
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
        try:
            fetch_model(registry, version, temporary)
            temporary.chmod(0o755)
            temporary.rename(out)
            sync(out.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return out


def fetch_model(registry: Registry, version: Version, folder: Path) -> None:
    """Download a version's model into a folder, once its bytes are those that were registered.

    Raises BadDataError: VERSION_FOREIGN if nobody says what they were, MODEL_TAMPERED if they are others.
    """
    _require_digests(version)
    for name in MODEL_FILES:
        _fetch(registry, version, name, folder)


def pull_lineage(store: Store, reference: str) -> Lineage | None:
    """The lineage of a version, once its bytes are those that were registered; None if it has none."""
    with looking(store, reference) as registry:
        return read_lineage(registry, find_version(registry, reference))


def find_weights(store: Store, reference: str) -> ResolvedModel:
    """The version that a reference means now, and the sha256 of its weights.

    Raises UsageError (MODEL_UNKNOWN, VERSION_UNKNOWN), and BadDataError (VERSION_FOREIGN) if no digest is known.
    """
    with looking(store, reference) as registry:
        version = find_version(registry, reference)
        _require_digests(version)
        sha256 = version.tags[sha256_tag(native_path(WEIGHTS_FILE))]
        return ResolvedModel(
            asked=reference, model=version.name, version=str(version.version), sha256=sha256, place=registry.place
        )


def find_network(store: Store, reference: str) -> NetworkSpec:
    """The network of a version. Its weights are not fetched. Raises as `pull_model`."""
    with looking(store, reference) as registry, tempfile.TemporaryDirectory() as folder:
        version = find_version(registry, reference)
        _require_digests(version)
        _fetch(registry, version, NETWORK_FILE, Path(folder))
        return read_network(Path(folder)).network


def promote(store: Store, reference: str, alias: str) -> Version:
    """Point an alias at a version; returns the version with its new aliases."""
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            "ALIAS_BAD",
            f"{alias!r} cannot be an alias; expected lower case letters, digits, - and _, starting "
            "with a letter, and not `latest` or `v1`; for example champion",
        )
    with looking(store, reference):  # a store without a registry gets none by this
        registry = connect(store)
        version = find_version(registry, reference)
        champion = next((item for item in versions_of(registry, version.name) if CHAMPION in item.aliases), None)
        registry.client.set_registered_model_alias(version.name, alias, str(version.version))
        if alias == CHAMPION:
            registry.client.set_model_version_tag(version.name, str(version.version), VERDICT_TAG, "promoted by hand")
            record_end(registry, champion, version)
        return next(item for item in versions_of(registry, version.name) if item.version == version.version)


def record_end(registry: Registry, champion: Version | None, successor: Version) -> None:
    """Say at the version that was champion that another one is now; nothing if there was none, or the same one."""
    if champion is not None and champion.version != successor.version:
        words = f"champion until {successor.reference}"
        registry.client.set_model_version_tag(champion.name, str(champion.version), VERDICT_TAG, words)


@contextmanager
def looking(store: Store, reference: str) -> Iterator[Registry]:
    """The registry, open to read from. Raises UsageError (MODEL_UNKNOWN) if the store has none."""
    registry = open_to_look(store)
    if registry is None:
        raise UsageError(
            "MODEL_UNKNOWN",
            f"no model is registered, so none is called {reference}; at {without_password(registry_uri(store))}; "
            "name the right --store, or make and register one: wavlm run RECIPE",
        )
    with translate_registry_errors(registry.uri):
        yield registry


def _fetch(registry: Registry, version: Version, name: str, folder: Path) -> None:
    """One file of the model into a folder; raises BadDataError (MODEL_TAMPERED) if it is not the registered one."""
    path = download(registry, version, native_path(name), folder)
    expected, found = version.tags[sha256_tag(native_path(name))], sha256_of(path)
    if found != expected:
        raise BadDataError(
            "MODEL_TAMPERED",
            f"{name} of {version.reference} has sha256 {found}, expected {expected}; "
            f"at {version.source}; do not use it; register the model again from its store",
        )
    sync(path)


def _require_digests(version: Version) -> None:
    for path in map(native_path, MODEL_FILES):
        if sha256_tag(path) not in version.tags:
            raise BadDataError(
                "VERSION_FOREIGN",
                f"{version.reference} has no digest of {path}: this version of the pipeline did not register it; at "
                f"{version.source}; download it with MLflow, or register the model again with `wavlm sync RECIPE`",
            )
