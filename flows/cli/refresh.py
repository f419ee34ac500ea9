"""`wavlm refresh`: the weekly loop on this machine, one number at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import console
from flows.cli.hints import Given
from flows.cli.options import DEFAULT_STORE, RecipeFile, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime

if TYPE_CHECKING:
    from wavlm.pipeline.refreshes import Refresh


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(refresh)


@with_runtime("require_registry")
def refresh(
    context: typer.Context,
    recipe: RecipeFile,
    *,
    number: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Which refresh is meant: the newest, or the next one")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Begin the next one also if nothing is new")] = False,
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Continue from the champion on the speech of today, and keep the new model if it is better.

    A refresh has a number. It asks the registry once for the versions that the recipe names by an alias, and takes the
    recordings that are there when its shards are complete. Stopped, killed or failed: the same command goes on with
    them. The next number begins once this one is registered and judged, and something is new.

    [bold]Examples[/]

      [cyan]wavlm refresh weekly.yaml --store /data/store --gpus 8[/]

      [cyan]wavlm refresh weekly.yaml --anyway[/]   also without new speech
    """
    from flows.cli.orchestrated import run_flow
    from flows.cli.summary import show_summary
    from flows.ready import check_ready, require_launcher
    from wavlm.pipeline.refreshes import read_refresh
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import read_recipe

    runtime = runtime.model_copy(update={"require_registry": True})
    require_launcher(runtime)
    artifact_store, name = Store(store), read_recipe(recipe).name
    check_ready(str(recipe), artifact_store, runtime)
    before = read_refresh(artifact_store.root, name)

    def is_done() -> bool:
        now = read_refresh(artifact_store.root, name)
        return now is not None and now.state == "sealed" and now != before

    resolved = run_flow(
        _load_refresh,
        artifact_store.root,
        is_done,
        recipe=str(recipe),
        store=str(artifact_store.root),
        runtime=runtime,
        number=number,
        anyway=anyway,
    )
    show_summary(recipe, artifact_store, resolved, Given.of(context).complete)
    _say(read_refresh(artifact_store.root, name), before)


def _say(now: Refresh | None, before: Refresh | None) -> None:
    """One line about the number, at the end, where a person looks first."""
    if now is None:
        return
    product = f"{now.product.model}:{now.product.version}; {now.product.verdict}" if now.product else "nothing yet"
    if now == before:
        text = (
            f"Nothing new: refresh {now.number} is {now.state}, {product}. To begin the next one all the same: --anyway"
        )
    else:
        text = f"Refresh {now.number} is {now.state}: {product}"
    console.out.print(text, markup=False, highlight=False, soft_wrap=True)


def _load_refresh() -> Callable[..., object]:
    from flows.refresh import refresh as refresh_flow

    return refresh_flow
