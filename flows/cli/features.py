"""`wavlm features`: write a layer's frames of a folder of audio, for people's own experiments."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder
from flows.cli.runtime import OPTIONS, with_runtime
from wavlm.execution.runtime import Runtime

TAKEN = {"workers", "gpus", "executor", "cluster"}

logger = logging.getLogger(__name__)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(features)


@with_runtime(*OPTIONS.keys() - TAKEN)
def features(  # noqa: PLR0913 - one option each
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder or file of a model, or NAME@ALIAS of the registry")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Audio of any format, in folders of any depth")],
    *,
    layer: Annotated[int, typer.Option(min=0, help="0: the encoder's input; n: the output of layer n")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the features go")],
    form: Annotated[Literal["parquet", "npy"], typer.Option("--format", help="How they are written")] = "parquet",
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Write the frames of one layer for all audio of a folder, 50 per second, as float32.

    Stopped or killed: the same command continues. New files are added. features.json says the times of frames.

    [bold]Examples[/]

      [cyan]wavlm features wavlm-demo@champion recordings --layer 9 --out features[/]

      [cyan]wavlm features path/to/hf-folder recordings --layer 9 --out features --format npy[/]
    """
    from wavlm.errors import BadDataError
    from wavlm.evaluation.folder_features import write_folder_features
    from wavlm.execution.executor import choose_executor
    from wavlm.execution.parts import use_executor
    from wavlm.features.extract import extraction_plan

    plan = extraction_plan(runtime.workers, runtime.gpus, is_elsewhere=bool(runtime.cluster))
    with _found(model, store, out) as place, use_executor(choose_executor(runtime, out)):
        found = write_folder_features(place, folder, layer, out, form, plan, _tell)
    console.out.print(f"{found.made} files written, {found.there} were there; at {out}", markup=False, soft_wrap=True)
    for error in found.refused:
        logger.warning("%s", error)
    if found.refused:
        raise BadDataError(
            found.refused[0].code,
            f"{len(found.refused)} files cannot be used, all others are written; in {folder}; see the warnings: each "
            "says what to do",
        )


@contextmanager
def _found(model: str, store: Path, out: Path) -> Iterator[Path]:
    """The place of the model. One of the registry is fetched for the time being, to where workers elsewhere see it."""
    from wavlm.pipeline.request import reference_of
    from wavlm.pipeline.store import Store

    reference = reference_of(model)
    if reference is None:
        yield Path(model).expanduser()
        return
    from tasks.registry.lookup import pull_model

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-model-") as temporary:
        yield pull_model(Store(store), reference, Path(temporary) / "model")


def _tell(done: float, total: float) -> None:
    if total:
        logger.info("features: %d of %d parts", done, total)
