"""Commands about models: the registry, and files for other people's programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli import console, options
from flows.cli import registry_tables as tables
from flows.cli.complete import complete_model
from flows.cli.options import DEFAULT_STORE, ModelName, RecipeFile, StoreFolder

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs")]
models = typer.Typer(
    name="models",
    help="Models in the registry.\n\n[bold]Examples[/]\n\n"
    "  [cyan]wavlm models list[/]\n\n"
    "  [cyan]wavlm models show wavlm-demo@champion[/]",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(models)
    app.command(name="export")(export_model)
    app.command(name="import")(import_model)
    app.command()(sync)


@models.command("list")
def list_models(store: StoreFolder = DEFAULT_STORE, *, as_json: AsJson = False) -> None:
    """All versions of all registered models.

    [bold]Example[/]

      [cyan]wavlm models list[/]
    """
    from tasks.registry.lookup import list_models as listed
    from wavlm.pipeline.registration import OWN_REGISTRY, configured_registry
    from wavlm.pipeline.store import Store

    root = Store(store).root
    if not as_json and not root.is_dir() and configured_registry(root) == OWN_REGISTRY:
        console.out.print(f"{root}: nothing yet, there is no such folder", markup=False, soft_wrap=True)
        return
    found = listed(Store(store))
    if as_json:
        tables.print_json([tables.model_of(item) for item in found])
        return
    tables.print_versions([version for model in found for version in model.versions])


@models.command()
def show(model: ModelName, store: StoreFolder = DEFAULT_STORE, *, as_json: AsJson = False) -> None:
    """Aliases, figures and lineage of one version, or of all versions of a name.

    [bold]Examples[/]

      [cyan]wavlm models show wavlm-demo[/]

      [cyan]wavlm models show wavlm-demo@champion[/]
    """
    from tasks.registry.lookup import show_model
    from wavlm.pipeline.store import Store

    found = show_model(Store(store), model)
    if as_json:
        tables.print_json(tables.model_of(found))
        return
    for item in found.versions:
        tables.print_version(item)


@models.command()
def history(model: ModelName, store: StoreFolder = DEFAULT_STORE, *, as_json: AsJson = False) -> None:
    """The versions of a name, oldest first: when, from what, with which figures, and what the gate said.

    Of one version: those that it descends from, whatever their names.

    [bold]Examples[/]

      [cyan]wavlm models history wavlm-demo[/]

      [cyan]wavlm models history wavlm-demo@champion[/]
    """
    from tasks.registry.lookup import list_versions
    from wavlm.pipeline.store import Store

    found = list_versions(Store(store), model)
    if as_json:
        tables.print_json([tables.version_of(item) for item in found])
        return
    tables.print_history(found)


@models.command()
def compare(
    first: ModelName,
    second: ModelName,
    store: StoreFolder = DEFAULT_STORE,
    *,
    as_json: AsJson = False,
) -> None:
    """Two versions side by side: their figures, and what differs in settings and lineage.

    [bold]Example[/]

      [cyan]wavlm models compare wavlm-demo:1 wavlm-demo@candidate[/]
    """
    from tasks.registry.compare import compare as compared
    from wavlm.pipeline.store import Store

    found = compared(Store(store), first, second)
    if as_json:
        tables.print_json(tables.comparison_of(found))
        return
    tables.print_comparison(found)


@models.command()
def pull(
    model: ModelName,
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder")],
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Fetch a version's model into a folder that `wavlm.load` reads; its bytes are checked.

    [bold]Example[/]

      [cyan]wavlm models pull wavlm-demo@champion champion/[/]
    """
    from tasks.registry.lookup import pull_model
    from wavlm.pipeline.store import Store

    _say(pull_model(Store(store), model, out))


@models.command()
def promote(
    model: ModelName,
    alias: Annotated[str, typer.Argument(metavar="ALIAS")] = "champion",
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Point an alias at a version.

    [bold]Examples[/]

      [cyan]wavlm models promote wavlm-demo:2[/]

      [cyan]wavlm models promote wavlm-demo:1 for-the-paper[/]
    """
    from tasks.registry.lookup import promote as promoted
    from wavlm.pipeline.store import Store

    version = promoted(Store(store), model, alias)
    text = f"{version.reference}: {', '.join(version.aliases)}"
    console.out.print(text, markup=False, highlight=False, soft_wrap=True)


def export_model(  # noqa: PLR0913 - one option each
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model folder, or NAME, NAME:VERSION, NAME@ALIAS", autocompletion=complete_model
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder (hf, onnx) or file (fairseq)")],
    *,
    layout: Annotated[Literal["hf", "fairseq", "onnx"], typer.Option("--format", help="Whose layout")] = "hf",
    int8: Annotated[bool, typer.Option("--int8", help="onnx: another file with the products in int8")] = False,
    layer: Annotated[
        list[int] | None,
        typer.Option(min=0, help="onnx: 0 is the encoder's input, n the output of layer n; again for more; else all"),
    ] = None,
    speech: Annotated[
        Path | None, typer.Option(metavar="DIR", help="onnx: audio on which the drift against torch is measured")
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write a model for transformers (hf), for fairseq and s3prl (fairseq), or for runtimes without torch (onnx).

    [bold]Examples[/]

      [cyan]wavlm export wavlm-demo@champion --format hf for-transformers/[/]

      [cyan]wavlm export store/pretrain/iteration2-07f472601c0f --format fairseq wavlm.pt[/]

      [cyan]wavlm export wavlm-demo@champion --format onnx --int8 --speech calls onnx/[/]
    """
    from tasks.exchange import export_as, export_as_onnx
    from wavlm.pipeline.store import Store

    if layout == "onnx":
        for line in export_as_onnx(model, out, Store(store), layer, int8=int8, speech=speech):
            console.out.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    if int8 or layer or speech:
        raise typer.BadParameter("--int8, --layer and --speech belong to --format onnx")
    _say(export_as(model, layout, out, Store(store)))


def import_model(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder (hf) or file (fairseq)")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder")],
) -> None:
    """Read a Hugging Face folder or a fairseq-layout .pt into a model folder; print what a recipe's `start` needs.

    Most released models have no prediction head. Then a training that starts from them draws a fresh one, with the
    number of clusters of its recipe.

    Nothing in it is run: weights are read with weights_only, settings are parsed.

    [bold]Example[/]

      [cyan]wavlm import WavLM-Base.pt wavlm-base/[/]
    """
    from wavlm.export import import_model as imported

    found = imported(path, out)
    _say(out)
    console.out.print(f"sha256: {found.sha256}", markup=False, highlight=False, soft_wrap=True)
    kept = f"kept, {found.num_clusters} clusters" if found.num_clusters else "kept, with its quantiser"
    head = kept if found.has_head else "fresh: PATH has none, the recipe sets its size"
    console.out.print(f"head: {head}", markup=False, highlight=False, soft_wrap=True)


def sync(recipe: RecipeFile, store: StoreFolder = DEFAULT_STORE, *, experiment: options.Experiment = "") -> None:
    """Register what the store holds and the registry does not, models and results; does nothing the second time.

    [bold]Example[/]

      [cyan]wavlm sync data_specs/recipes/demo.yaml[/]
    """
    from flows.cli.store import require_store
    from tasks.register import sync as synced
    from tasks.results import publish_late
    from wavlm.pipeline.artifacts import Registration
    from wavlm.pipeline.known import require_known
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.registration import configured_registry, show_registry
    from wavlm.specs.yaml import read_recipe

    artifact_store = require_store(store)
    resolved = require_known(read_recipe(recipe), artifact_store)
    new = synced(resolved, artifact_store, experiment)
    for path in new:
        _say(path)
    for version in publish_late(resolved, artifact_store):
        console.out.print(f"results are in {version}", markup=False, highlight=False, soft_wrap=True)
    wanted = [item for item in plan(resolved) if isinstance(item, Registration)]
    complete = [item for item in wanted if artifact_store.is_complete(item.model)]
    if not complete:
        text = f"no model of this recipe is complete; at {artifact_store.root}"
    else:
        place = show_registry(configured_registry(artifact_store.root), artifact_store.root)
        is_all = not new and artifact_store.has_all(complete)
        text = f"all {len(complete)} are registered" if is_all else f"{len(new)} models were registered now"
        text += f"; at {place}"
    console.out.print(text, markup=False, highlight=False, soft_wrap=True)


def _say(path: Path) -> None:
    console.out.print(str(path), markup=False, highlight=False, soft_wrap=True)
