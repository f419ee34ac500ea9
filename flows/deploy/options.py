"""The options of this deployment: what was given counts, then what was deployed before, then the defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.deploy.wanted import TRAINING_POOL, Options
from wavlm.execution.runtime import Runtime


def choose(
    values: Mapping[str, Any], runtime: Mapping[str, Any], given: Collection[str], earlier: Options | None
) -> Options:
    """Options from `values`, and from `runtime` those of its runs; `given` names the fields that were not left out.

    A training pool of None is `gpu` with GPUs, else the pool of the data.
    """
    fields = dict(values)
    if earlier is not None:
        kept = (*values.keys() - {*given, "recipe", "webhook", "downloads", "trainings", "reset", "environment"},)
        fields |= {name: getattr(earlier, name) for name in kept}
        runtime = {**earlier.runtime.model_dump(), **{name: runtime[name] for name in runtime if name in given}}
        fields["environment"] = tuple({**dict(earlier.environment), **dict(values["environment"])}.items())
    chosen = Runtime(**runtime)
    if "training_pool" not in given:
        fields["training_pool"] = _training_pool(chosen, fields["data_pool"], earlier)
    return replace(Options(fields["recipe"], fields["store"], chosen), **fields)


def portable_runtime(runtime: Runtime) -> Runtime:
    """The same with whole paths: a worker runs in another folder. What a path looks like stays as it is."""
    paths = {"scratch": runtime.scratch, "cache": runtime.cache}
    if runtime.cluster and ":" not in runtime.cluster:  # no address: the file that a scheduler writes
        paths["cluster"] = runtime.cluster
    return runtime.model_copy(update={name: str(Path(text).absolute()) for name, text in paths.items() if text})


def _training_pool(runtime: Runtime, data_pool: str, earlier: Options | None) -> str:
    """The same as before, unless training goes to GPUs now, or leaves them."""
    if earlier is None or bool(runtime.gpus) != bool(earlier.runtime.gpus):
        return TRAINING_POOL if runtime.gpus else data_pool
    return data_pool if earlier.training_pool == earlier.data_pool else earlier.training_pool
