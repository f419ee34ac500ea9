"""Versions of registered models as the registry lists them, whoever registered them and under whatever name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.registry.connection import Registry
from tasks.registry.runs import ITERATION_TAG, KEY_TAG, fetch_file
from wavlm.specs import Contrastive, MaskedPrediction

if TYPE_CHECKING:
    from mlflow.entities import Run

CHAMPION = "champion"
VERDICT_TAG = "wavlm.gate"  # of a version: why it is champion, or is not
# Two versions can be compared by a metric if they have the same digest under its tag: of all that the metric
# depends on, apart from the model.
VALID_TAG, PROBE_TAG = "comparable.valid", "comparable.probe"
TAG_OF = {
    **dict.fromkeys(("probe/pnmi", "probe/abx_within", "probe/abx_across"), PROBE_TAG),
    **dict.fromkeys((*MaskedPrediction.gated, *Contrastive.gated), VALID_TAG),
}
METRIC_TAG = "measured."  # before the name of one of these metrics: the version's own figure
MODEL_FOLDER = "hf"  # of a run's artifacts: a Hugging Face folder, and an MLmodel for mlflow.pyfunc
NATIVE_FOLDER = "native"  # in it: the model as the store holds it
MODEL_FILES = ("model.safetensors", "network.json")  # of the native folder
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such name, or nothing can have it
_PAGE = 1000
_MAX_PAGES = 1000  # a server may name a next page for ever


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
    lineage: Mapping[str, str] = field(default_factory=dict)  # keys of what it was made from; empty in lists

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


def all_models(registry: Registry) -> tuple[RegisteredModel, ...]:
    """All registered models with their versions, by name."""
    aliases = {item.name: item.aliases for item in _pages(registry.client.search_registered_models)}
    found: dict[str, list[Version]] = {name: [] for name in sorted(aliases)}
    for item in _pages(registry.client.search_model_versions):
        if item.name in found:  # not a prompt, which MLflow keeps in the same table
            found[item.name].append(to_version(item, aliases[item.name]))
    return tuple(RegisteredModel(name, registry.place, _newest_first(items)) for name, items in found.items())


def names_of(registry: Registry) -> list[str]:
    """The names of all registered models."""
    return sorted(item.name for item in _pages(registry.client.search_registered_models))


def has_model(registry: Registry, name: str) -> bool:
    """Whether a model is registered under exactly this name."""
    from mlflow.exceptions import MlflowException

    try:
        registry.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code in MISSING:
            return False
        raise
    return True


def versions_of(registry: Registry, name: str) -> tuple[Version, ...]:
    """All versions of a registered model, newest first."""
    aliases = registry.client.get_registered_model(name).aliases
    found = (item for item in _pages(registry.client.search_model_versions, _filter(name)) if item.name == name)
    return _newest_first([to_version(item, aliases) for item in found])


def find_by_key(registry: Registry, name: str, key: str) -> Version | None:
    """The newest version of a registered model that was made from the Model artifact of this key."""
    return next((item for item in versions_of(registry, name) if item.key == key), None)


def to_version(found: Any, aliases: Mapping[str, str]) -> Version:
    """From MLflow's ModelVersion, and the registered model's aliases with their versions."""
    number = int(found.version)
    iteration = str(found.tags.get(ITERATION_TAG, ""))
    return Version(
        name=found.name,
        version=number,
        aliases=tuple(sorted(alias for alias, to in aliases.items() if int(to) == number)),
        iteration=int(iteration) if iteration.isascii() and iteration.isdigit() else None,
        key=found.tags.get(KEY_TAG, ""),
        run_id=found.run_id or "",
        created_unix=(found.creation_timestamp or 0) / 1000,
        source=found.source or "",
        tags=dict(found.tags),
        metrics={},
    )


def has_run(registry: Registry, run_id: str) -> bool:
    """Whether the registry knows a run: those of versions that were deleted, too. A registry made anew does not."""
    return _find_run(registry, run_id) is not None


def with_metrics(registry: Registry, version: Version, *, is_shown: bool = False) -> Version:
    """The version with the last value of each metric of its run, as far as the run is still there.

    What the gate compares stands in tags of the version. Builds of a few weeks wrote none: people are shown the figures
    of the run then (`is_shown`), and nothing is judged by them.
    """
    run = _find_run(registry, version.run_id)
    metrics = dict(run.data.metrics) if run else {}
    has_figures = any(name.startswith(METRIC_TAG) for name in version.tags)
    if VALID_TAG in version.tags and (has_figures or not is_shown):
        # A run is shared by names: it may hold the figures of another recipe's probe.
        others = {name: value for name, value in metrics.items() if name not in TAG_OF}
        metrics = others | {
            name: float(version.tags[tag]) for name in TAG_OF if (tag := METRIC_TAG + name) in version.tags
        }
    return replace(version, metrics=metrics)


def params_of(registry: Registry, run_id: str) -> dict[str, str]:
    """The settings that a run recorded; empty if it is gone."""
    run = _find_run(registry, run_id)
    return dict(run.data.params) if run else {}


def download(registry: Registry, version: Version, path: str, folder: Path) -> Path:
    """Fetch one file of a version into a folder, under its own name; `path` is relative to the version's folder."""
    return fetch_file(registry, version.run_id, f"{MODEL_FOLDER}/{path}", folder)


def _find_run(registry: Registry, run_id: str) -> Run | None:
    """A run; None for a version without one, and for one that is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return registry.client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code in MISSING:
            return None
        raise


def _filter(name: str) -> str | None:
    """A filter for a name; None if MLflow's filters have no way to write it."""
    quotes = [quote for quote in "'\"" if quote not in name]
    return f"name = {quotes[0]}{name}{quotes[0]}" if quotes else None


def _newest_first(versions: Sequence[Version]) -> tuple[Version, ...]:
    return tuple(sorted(versions, key=lambda item: -item.version))


def _pages(search: Callable[..., Any], words: str | None = None) -> Iterator[Any]:
    """All results of a search, page by page."""
    token: str | None = None
    for _ in range(_MAX_PAGES):
        page = search(filter_string=words, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
    raise OSError(f"a list of more than {_MAX_PAGES} pages")
