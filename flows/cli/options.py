"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.complete import complete_corpus, complete_iteration, complete_model, complete_recipe
from flows.cli.hints import Given
from wavlm.execution.runtime import ExecutorName
from wavlm.storage.disk_watch import watch_disk
from wavlm.storage.mirror.address import read_address

DEFAULT_STORE = Path("store")


def _read_store(text: str | Path) -> Path:
    """The folder that is typed. Nothing, as of a variable that is not set, would be the present folder."""
    if not str(text):
        raise typer.BadParameter("is empty, expected a folder")
    return Path(text)


def _take_store(context: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """The folder, with `~` replaced: a shell does not do so in `--store=~/store`. Its disk is watched from now on."""
    if _was_typed(context, param):
        Given.of(context).store = str(value)
    store = Path(os.path.expanduser(value))  # noqa: PTH111 - that of Path raises RuntimeError
    if not context.resilient_parsing:  # while a shell completes
        context.with_resource(watch_disk(store))
    return store


def _take_recipe(context: typer.Context, value: Path) -> Path:
    Given.of(context).recipe = str(value)
    return value


def _take_mirror(value: str) -> str:
    """The address in its one form. One with a password is refused here: a deployment would show it."""
    return read_address(value) if value else value


def _was_typed(context: typer.Context, param: typer.CallbackParam) -> bool:
    source = context.get_parameter_source(param.name or "")
    return source is not None and source.name == "COMMANDLINE"


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was typed, or set in a variable of the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT"}


RecipeFile = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe: its file, or the name of a shipped one, e.g. demo",
        autocompletion=complete_recipe,
        callback=_take_recipe,
    ),
]
StoreFolder = Annotated[
    Path,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="WAVLM_STORE",
        help="Where all that is made lies",
        parser=_read_store,
        callback=_take_store,
    ),
]
ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME, NAME:VERSION or NAME@ALIAS", autocompletion=complete_model)
]
Iteration = Annotated[int | None, typer.Option(min=1, help="Only this iteration's", autocompletion=complete_iteration)]
MixIteration = Annotated[
    int | None,
    typer.Option(min=1, help="Whose mix; the first that mixes if not given", autocompletion=complete_iteration),
]
CorpusName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this corpus'", autocompletion=complete_corpus)
]
Workers = Annotated[
    int,
    typer.Option(min=1, help="Processes for shards, labels and loading; to load, 4 a GPU or more"),
]
Gpus = Annotated[int, typer.Option(min=0, help="GPUs to train on; 0: the CPU")]
Processes = Annotated[
    int,
    typer.Option(min=0, help="Training processes on the CPU; 0: what cores and batches allow"),
]
Threads = Annotated[int, typer.Option(min=0, help="Torch threads a process; 0: cores / processes")]
CheckpointEvery = Annotated[int, typer.Option(min=0, help="Updates between snapshots; 0: every five minutes")]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the network (torch.compile)")]
Checkpointing = Annotated[
    bool,
    typer.Option("--checkpoint-activations", help="Compute activations twice to save memory"),
]
Sharding = Annotated[
    bool,
    typer.Option("--shard-parameters", help="Split weights and optimizer over the GPUs (FSDP2), for Large"),
]
Tracking = Annotated[bool, typer.Option("--tracking/--no-tracking", help="Send curves to MLflow while training")]
Wait = Annotated[
    int,
    typer.Option("--wait", metavar="MINUTES", min=0, help="Wait for what another run makes or uses; 0: refuse at once"),
]
Experiment = Annotated[
    str, typer.Option("--experiment", metavar="NAME", help="MLflow experiment; if not given, one per recipe")
]
Scratch = Annotated[
    str, typer.Option(metavar="DIR", help="A folder on a disk of each machine's own, for what training reads often")
]
Nodes = Annotated[int, typer.Option(min=1, help="Machines that train one model together")]
Launcher = Annotated[
    str,
    typer.Option(
        metavar="COMMAND", help="What starts a program on each machine, e.g. 'srun'; none: run this command on each"
    ),
]
Address = Annotated[str, typer.Option(metavar="HOST", help="Address of this machine that the others reach")]
Restarts = Annotated[int, typer.Option(min=0, help="How often training goes on by itself when a process was lost")]
RequireRegistry = Annotated[
    bool,
    typer.Option("--require-registry", help="Fail in the end (69) if a model could not be registered"),
]
Executor = Annotated[ExecutorName, typer.Option(help="Where parts of stages are made: this machine, or a Dask cluster")]
Mirror = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        envvar="WAVLM_MIRROR",
        callback=_take_mirror,
        help="Fetch from and push to it: s3://BUCKET/FOLDER, file:///FOLDER",
    ),
]
CacheFolder = Annotated[
    str, typer.Option(metavar="DIR", envvar="WAVLM_CACHE", help="Where tars of the mirror are kept")
]
CacheGigabytes = Annotated[
    int, typer.Option(min=0, help="Read tars of the mirror through a cache of this size; 0: fetch them all")
]
FeaturesGigabytes = Annotated[
    int, typer.Option(min=0, help="What the features of evaluations may take in the store; 0: none are kept")
]
Cluster = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", envvar="WAVLM_CLUSTER", help="A running Dask scheduler; if not given, one of this machine"
    ),
]
Downloads = Annotated[int, typer.Option(min=1, help="Corpora that are downloaded at a time")]
SideBySide = Annotated[
    int,
    typer.Option(min=0, help="Stages that share the cores at a time; 0: one, and an evaluation per core up to four"),
]
