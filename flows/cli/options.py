"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", help="A recipe: its file, or the name of a shipped one, e.g. demo"),
]
StoreFolder = Annotated[Path, typer.Option("--store", metavar="DIR", help="Where all that is made lies")]
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
Experiment = Annotated[
    str, typer.Option("--experiment", metavar="NAME", help="MLflow experiment; if not given, one per recipe")
]
RequireRegistry = Annotated[
    bool,
    typer.Option("--require-registry", help="Fail in the end (69) if a model could not be registered"),
]
DEFAULT_STORE = Path("store")
