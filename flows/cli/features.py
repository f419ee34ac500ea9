"""`wavlm features`: write a layer's frames of a folder of audio, for people's own experiments."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder

logger = logging.getLogger(__name__)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(features)


def features(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder or file of a model, or NAME@ALIAS of the registry")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Audio of any format, in folders of any depth")],
    *,
    layer: Annotated[int, typer.Option(min=0, help="0: the encoder's input; n: the output of layer n")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the features go")],
    form: Annotated[Literal["parquet", "npy"], typer.Option("--format", help="How they are written")] = "parquet",
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write the frames of one layer for all audio of a folder, 50 per second, as float32.

    Stopped or killed: the same command continues. New files are added. features.json says the times of frames.

    [bold]Examples[/]

      [cyan]wavlm features wavlm-demo@champion recordings --layer 9 --out features[/]

      [cyan]wavlm features path/to/hf-folder recordings --layer 9 --out features --format npy[/]
    """
    from wavlm.errors import BadDataError
    from wavlm.evaluation.folder_features import write_folder_features

    with tempfile.TemporaryDirectory() as temporary:
        place = _find(model, store, Path(temporary))
        found = write_folder_features(place, folder, layer, out, form, _tell)
    console.out.print(f"{found.made} files written, {found.there} were there; at {out}", markup=False, soft_wrap=True)
    for error in found.refused:
        logger.warning("%s", error)
    if found.refused:
        first = found.refused[0]
        raise BadDataError(first.code, f"{len(found.refused)} files were left out, the first: {first.message}")


def _find(model: str, store: Path, temporary: Path) -> Path:
    """The place of the model; one of the registry is fetched."""
    from wavlm.pipeline.request import reference_of
    from wavlm.pipeline.store import Store

    reference = reference_of(model)
    if reference is None:
        return Path(model).expanduser()
    from tasks.registry.lookup import pull_model

    return pull_model(Store(store), reference, temporary / "model")


def _tell(done: float, total: float) -> None:
    if total and done and not done % 100:
        logger.info("features: %d of %d files", done, total)
