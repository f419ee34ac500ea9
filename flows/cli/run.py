"""Commands that make something: run, stage, listen. Imports are local, so that help and `plan` answer at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import console, options
from flows.cli.hints import Given
from flows.cli.options import DEFAULT_STORE, RecipeFile, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.stages import StageName

if TYPE_CHECKING:
    from wavlm.pipeline.store import Store
    from wavlm.specs import Recipe

LoadFlow = Callable[[], Callable[..., object]]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (run, stage, listen):
        app.command()(command)


@with_runtime()
def run(
    context: typer.Context,
    recipe: RecipeFile,
    *,
    store: StoreFolder = DEFAULT_STORE,
    until: Annotated[StageName | None, typer.Option(help="Stop when all artifacts of this kind are there")] = None,
    runtime: Runtime,
) -> None:
    """Make everything a recipe wants; what is complete is left alone.

    Stopped, killed or failed: the same command continues. An evaluation whose corpus is missing here is named with
    where to get it; all else is made, and the exit code says so.

    [bold]Examples[/]

      [cyan]wavlm run data_specs/recipes/demo.yaml[/]

      [cyan]wavlm run data_specs/recipes/wavlm-base.yaml --store /data/store --gpus 8[/]

      [cyan]wavlm run data_specs/recipes/demo.yaml --until labels[/]   no training yet
    """
    from flows.cli.summary import show_summary
    from wavlm.pipeline.aside import LeftOutError
    from wavlm.pipeline.store import Store

    artifact_store = Store(store)
    resolved, left_out = None, None
    try:
        resolved = run_recipe(recipe, artifact_store, runtime, until)
    except LeftOutError as error:  # all else is made
        left_out = error
    show_summary(recipe, artifact_store, resolved, Given.of(context).complete)
    if left_out:
        raise left_out


def run_recipe(
    recipe: Path, artifact_store: Store, runtime: Runtime, until: StageName | None, load_flow: LoadFlow | None = None
) -> Recipe | None:
    """Make what a recipe wants. Returns the recipe as the run read it; None: nothing to do.

    load_flow: another flow than `pretrain`; with it there is no `until`.
    Raises LeftOutError at the end if evaluations were left out, because something is missing on this machine.
    """
    from tasks.registry.lost import take_back_lost
    from wavlm.errors import CodedError
    from wavlm.pipeline.aside import Aside, set_aside
    from wavlm.pipeline.mirror.sharing import has_given
    from wavlm.pipeline.one_look import one_look
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.published import find_unpublished
    from wavlm.pipeline.resolve import resolve
    from wavlm.pipeline.selection import select_needed
    from wavlm.specs.yaml import read_recipe

    def choose() -> Aside:
        resolved = resolve(read_recipe(recipe), artifact_store)
        return set_aside(select_needed(plan(resolved), until), resolved, artifact_store)

    def is_done() -> bool:
        try:
            wanted = choose().kept
            if not (artifact_store.has_all(wanted) and has_given(wanted, runtime)):
                return False
            return not find_unpublished(wanted, resolve(read_recipe(recipe), artifact_store), artifact_store)
        except CodedError:
            return False  # the check says so, with all other problems

    with one_look():
        is_wanted = not is_done() or take_back_lost(choose().kept, artifact_store)
        if is_wanted:
            from flows.ready import check_ready

            check_ready(str(recipe), artifact_store, runtime, lambda items: select_needed(items, until))
    if is_wanted:
        from flows.cli.orchestrated import run_flow

        return run_flow(  # type: ignore[no-any-return]
            load_flow or _load_pretrain,
            artifact_store.root,
            is_done,
            recipe=str(recipe),
            store=str(artifact_store.root),
            runtime=runtime,
            **({} if load_flow else {"until": until}),
        )
    choose().refuse()
    return None


@with_runtime()
def stage(  # noqa: PLR0913 - one option each
    kind: Annotated[StageName, typer.Argument(metavar="KIND", help="Which stage")],
    recipe: RecipeFile,
    *,
    iteration: options.Iteration = None,
    corpus: options.CorpusName = None,
    store: StoreFolder = DEFAULT_STORE,
    redo: Annotated[bool, typer.Option("--redo", help="Move what is complete to the trash, make it again")] = False,
    runtime: Runtime,
) -> None:
    """Make one stage of a recipe, alone; its inputs have to be there.

    [bold]Examples[/]

      [cyan]wavlm stage shards data_specs/recipes/demo.yaml --corpus festvox-ru[/]

      [cyan]wavlm stage labels data_specs/recipes/demo.yaml --iteration 2 --redo[/]
    """
    from tasks.registry.lost import take_back_lost
    from wavlm.errors import CodedError
    from wavlm.pipeline.aside import Aside, set_aside
    from wavlm.pipeline.mirror.sharing import has_given
    from wavlm.pipeline.one_look import one_look
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.resolve import resolve
    from wavlm.pipeline.selection import select
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import read_recipe

    artifact_store = Store(store)

    def choose(resolved: Recipe | None = None) -> Aside:
        resolved = resolved or resolve(read_recipe(recipe), artifact_store)
        return set_aside(select(plan(resolved), kind, iteration, corpus), resolved, artifact_store)

    recipe_spec = read_recipe(recipe)
    with one_look():
        with suppress(CodedError):  # the check says so, with all other problems
            recipe_spec = resolve(recipe_spec, artifact_store)
        artifacts = (aside := choose(recipe_spec)).kept
        is_complete = not redo and artifact_store.has_all(artifacts) and has_given(artifacts, runtime)
        if is_wanted := not is_complete or take_back_lost(artifacts, artifact_store):
            from flows.ready import check_ready

            check_ready(str(recipe), artifact_store, runtime, lambda _: artifacts, redo=redo)
    if is_wanted:
        from flows.cli.orchestrated import run_flow

        _require_inputs(artifacts, artifact_store)  # before Prefect is started for nothing
        resolved = run_flow(
            _load_stage,
            artifact_store.root,
            lambda: artifact_store.has_all(choose().kept),
            kind=kind,
            recipe=str(recipe),
            iteration=iteration,
            corpus=corpus,
            redo=redo,
            store=str(artifact_store.root),
            runtime=runtime,
        )
        artifacts = choose(resolved).kept
    _print_places(artifacts, artifact_store)
    aside.refuse()


def listen(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the WAV files go")],
    *,
    iteration: options.MixIteration = None,
    epoch: Annotated[int, typer.Option(min=0, help="Which epoch's first batch")] = 0,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write a training batch as WAV, clean and mixed: the input of the model.

    [bold]Example[/]

      [cyan]wavlm listen data_specs/recipes/demo.yaml listen/ --epoch 3[/]
    """
    from tasks.listening import write_batch
    from wavlm.pipeline.known import require_known
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import read_recipe

    artifact_store = Store(store)
    recipe_spec = require_known(read_recipe(recipe), artifact_store)
    for path in write_batch(recipe_spec, artifact_store, iteration, epoch, out):
        console.out.print(str(path), highlight=False, soft_wrap=True)


def _print_places(artifacts: Sequence[Artifact], store: Store) -> None:
    """Print the folders of artifacts. Raise ServiceMissingError (NOT_REGISTERED) if one is not there."""
    from wavlm.errors import ServiceMissingError

    if waiting := [str(artifact) for artifact in artifacts if not store.is_complete(artifact)]:
        raise ServiceMissingError(
            "NOT_REGISTERED",
            f"the registry did not take a model (see above why); at {', '.join(waiting)}; "
            "once it answers: wavlm sync RECIPE",
        )
    for artifact in artifacts:
        console.out.print(str(store.path(artifact)), highlight=False, soft_wrap=True)


def _require_inputs(artifacts: Iterable[Artifact], store: Store) -> None:
    """Raise BadDataError (INPUT_MISSING) if something is missing that artifacts are made from."""
    from wavlm.errors import LockedError

    for artifact in artifacts:
        for item in artifact.needs if artifact.is_known else ():
            with suppress(LockedError):  # it is being made: the flow waits for it
                store.require(item)


def _load_pretrain() -> Callable[..., object]:
    from flows.pretrain import pretrain

    return pretrain


def _load_stage() -> Callable[..., object]:
    from flows.stage import stage as stage_flow

    return stage_flow
