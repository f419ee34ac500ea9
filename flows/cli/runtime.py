"""Options of how to run: one for each field of `Runtime`, the same in every command that runs stages."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args

from flows.cli import options
from wavlm.execution.runtime import Runtime

Command = Callable[..., None]
PANEL = "How to run; nothing of it changes the result"
# By the fields of `Runtime`. One has no option: `keep_snapshots`, a parameter of a deployment.
OPTIONS: Mapping[str, Any] = {
    "workers": options.Workers,
    "gpus": options.Gpus,
    "processes": options.Processes,
    "threads": options.Threads,
    "snapshot_every": options.CheckpointEvery,
    "compile": options.Compile,
    "checkpoint_activations": options.Checkpointing,
    "shard_parameters": options.Sharding,
    "tracking": options.Tracking,
    "wait_minutes": options.Wait,
    "experiment": options.Experiment,
    "require_registry": options.RequireRegistry,
    "executor": options.Executor,
    "cluster": options.Cluster,
    "downloads": options.Downloads,
    "side_by_side": options.SideBySide,
    "scratch": options.Scratch,
    "nodes": options.Nodes,
    "launcher": options.Launcher,
    "address": options.Address,
    "restarts": options.Restarts,
    "mirror": options.Mirror,
    "cache": options.CacheFolder,
    "cache_gigabytes": options.CacheGigabytes,
    "features_gigabytes": options.FeaturesGigabytes,
}


def with_runtime(*left_out: str) -> Callable[[Command], Command]:
    """Give a command the options of how to run. It gets what they say as one argument, `runtime: Runtime`.

    left_out: fields for which this command has no option. They have their defaults.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        taken = [name for name in OPTIONS if name not in left_out]

        @functools.wraps(command)
        def call(*args: Any, **given: Any) -> None:
            fields = {name: given.pop(name) for name in taken if name in given}
            command(*args, runtime=Runtime(**fields), **given)

        parameters = [item for name, item in own.parameters.items() if name != "runtime"]
        call.__signature__ = own.replace(parameters=[*parameters, *map(_parameter, taken)])  # type: ignore[attr-defined]
        return call

    return decorate


def _parameter(field: str) -> inspect.Parameter:
    """The option of a field as the parameter of a function, with the default of the field."""
    form, option = get_args(OPTIONS[field])
    option = copy.copy(option)
    option.rich_help_panel = PANEL
    return inspect.Parameter(
        field,
        inspect.Parameter.KEYWORD_ONLY,
        default=Runtime.model_fields[field].default,
        annotation=Annotated[form, option],
    )
