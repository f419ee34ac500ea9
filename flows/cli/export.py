"""`wavlm export`: write a model for a runtime without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli import console
from flows.cli.found_models import found_model
from flows.cli.options import DEFAULT_STORE, StoreFolder


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(export)


def export(  # noqa: PLR0913 - one option each
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder or file of a model, or NAME@ALIAS of the registry")
    ],
    *,
    form: Annotated[Literal["onnx"], typer.Option("--format", help="What is written; the extra of this name")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder")],
    int8: Annotated[bool, typer.Option("--int8", help="Another file with the products in int8")] = False,
    layer: Annotated[
        list[int] | None,
        typer.Option(min=0, help="0: the encoder's input; n: the output of layer n; again for more. Not given: all"),
    ] = None,
    speech: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Audio on which the drift against torch is measured")
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write a model as an ONNX graph with free batch and length, and a card with its measured drift.

    The folders for transformers and the files for fairseq are made by every run: see `wavlm models pull`.

    [bold]Examples[/]

      [cyan]wavlm export wavlm-demo@champion --format onnx --int8 --speech recordings --out onnx[/]

      [cyan]wavlm export path/to/hf-folder --format onnx --layer 6 --layer 9 --out onnx[/]
    """
    from wavlm.evaluation.onnx_export import export_onnx

    with found_model(model, store, out) as place:
        facts = export_onnx(place, out, layer, int8=int8, speech=speech)
    for name, size in facts.megabytes.items():
        console.out.print(f"{out / name}  {size:.1f} MB ({form})", markup=False, soft_wrap=True)
    for drift in facts.drift:
        worst = max(drift.outputs, key=lambda it: it.relative_difference)
        console.out.print(
            f"{drift.file}: at most {100 * worst.relative_difference:.2g} % from torch (in {worst.output}); "
            f"{100 * min(it.labels_kept for it in drift.outputs):.2f} % of labels stay or more",
            markup=False,
            soft_wrap=True,
        )
