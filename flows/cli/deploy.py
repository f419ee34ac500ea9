"""`wavlm deploy`: a recipe on a Prefect server, with its schedules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli import console, options
from flows.cli.options import DEFAULT_STORE, RecipeFile, StoreFolder
from flows.cli.runtime import with_runtime
from wavlm.execution.runtime import Runtime

if TYPE_CHECKING:
    from wavlm.specs import Recipe

When = str | None
_FIELDS = {"pool": "data_pool", "gpu_pool": "training_pool", "env": "environment"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(deploy)


@with_runtime("downloads")
def deploy(  # noqa: PLR0913 - one option each
    context: typer.Context,
    recipe: RecipeFile,
    *,
    nightly: Annotated[When, typer.Option(metavar="TIME", help="Prepare the data daily: 02:15, or a cron line")] = None,
    weekly: Annotated[When, typer.Option(metavar="TIME", help="Train weekly: 'sat 04:30', or a cron line")] = None,
    timezone: Annotated[str, typer.Option(metavar="NAME", help="Of these times, e.g. Europe/Prague")] = "UTC",
    after_prepare: Annotated[bool, typer.Option("--after-prepare", help="Train whenever data are prepared")] = False,
    refresh_after_hours: Annotated[
        float | None,
        typer.Option(metavar="H", min=0, help="Refresh when so many hours of speech came in; 0: not any more"),
    ] = None,
    pool: Annotated[str, typer.Option(metavar="NAME", help="Work pool of the data stages")] = "cpu",
    gpu_pool: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Work pool of training; else gpu with --gpus, else that of the data"),
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="Container image, for Docker, Kubernetes")] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Environment of the runs; no passwords here")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Where failures and the gate's verdicts are told")
    ] = None,
    downloads: Annotated[
        int | None, typer.Option(min=1, help="Downloads at a time, over all machines and recipes; 2 at first")
    ] = None,
    trainings: Annotated[
        int | None, typer.Option(min=1, help="Trainings at a time, over all machines and recipes; 1 at first")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Undo what was changed in Prefect by hand")] = False,
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Put a recipe on the Prefect server that PREFECT_API_URL names.

    Makes pools, limits, deployments, schedules and automations. A second time it changes only what the command
    says anew: options that are left out stay as they were, and so does what was changed in Prefect.

    [bold]Examples[/]

      [cyan]wavlm deploy my.yaml --store /data/store --nightly 02:15 --weekly 'sat 04:30' --gpus 8[/]

      [cyan]wavlm deploy my.yaml --store /data/store --nightly 02:15 --after-prepare --webhook https://...[/]

      [cyan]wavlm deploy weekly.yaml --store /data/store --nightly 02:15 --refresh-after-hours 10 --gpus 8[/]

      [cyan]wavlm deploy my.yaml --store /data/store --pool cpu --executor dask --cluster tcp://10.0.0.7:8786[/]
    """
    from tasks.orchestration.server import QUIET, reach_loopback
    from wavlm.specs.yaml import read_recipe

    recipe_spec = read_recipe(recipe)
    reach_loopback()
    for name, value in {**QUIET, "PREFECT_LOGGING_LEVEL": "CRITICAL"}.items():
        os.environ.setdefault(name, value)  # Prefect reads them when it is first imported, below
    from flows.deploy.apply import apply, recall_options
    from flows.deploy.options import choose, portable_runtime
    from flows.deploy.schedules import check_timezone, read_daily, read_weekly
    from flows.deploy.wanted import training_flow
    from flows.ready import require_launcher

    values: dict[str, Any] = {
        "recipe": _portable(recipe),
        "store": store.absolute(),
        "data_pool": pool,
        "training_pool": gpu_pool,
        "nightly": None if nightly is None else read_daily(nightly),
        "weekly": None if weekly is None else read_weekly(weekly),
        "timezone": check_timezone(timezone),
        "after_prepare": after_prepare,
        "refresh_after_hours": _check_loop(recipe_spec, refresh_after_hours),
        "webhook": None if webhook is None else _check_webhook(webhook),
        "image": image or None,
        "environment": tuple(_read_variable(item) for item in env or ()),
        "downloads": downloads,
        "trainings": trainings,
        "reset": reset,
    }
    given = {_FIELDS.get(name, name) for name in context.params if options.was_given(context, name)}
    _require_server()
    how = portable_runtime(runtime).model_dump() | {"downloads": downloads or runtime.downloads}
    wanted = choose(values, how, given, recall_options(recipe_spec))
    require_launcher(wanted.runtime)
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        _print(line)

    deployments = apply(recipe_spec, wanted, report, _print)
    _print(*([] if said else ["nothing to change"]), "", "Next:")
    _print(*(f"  prefect worker start --pool {name}" for name in dict.fromkeys(item.pool for item in deployments)))
    _print(f"  prefect deployment run {training_flow(recipe_spec)}/{recipe_spec.name} --watch")


def _print(*lines: str) -> None:
    for line in lines:
        console.out.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_loop(recipe: Recipe, hours: float | None) -> float | None:
    from wavlm.errors import UsageError
    from wavlm.pipeline.refreshes import aliases_of

    if hours and not aliases_of(recipe):
        raise UsageError(
            "REFRESH_FIXED",
            f"this recipe has no weekly loop: it names no model by an alias; at --refresh-after-hours, recipe "
            f"{recipe.name}; use --after-prepare, or give it `models` with NAME@champion",
        )
    return hours or None


def _check_webhook(url: str) -> str:
    from urllib.parse import urlsplit

    from wavlm.errors import UsageError

    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("WEBHOOK_BAD", "this is no address of HTTP; at --webhook; give e.g. https://host/path")
    return url


def _read_variable(text: str) -> tuple[str, str]:
    from wavlm.errors import UsageError

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError("ENV_BAD", f"{text!r} is no variable; at --env; give NAME=VALUE")
    return name, value


def _portable(recipe: Path) -> str:
    """The recipe as a worker finds it, whatever folder it works in. A shipped one is found by its name."""
    from wavlm.specs.lookup import is_bare_name, is_file

    return str(recipe) if is_bare_name(recipe) and not is_file(recipe) else str(recipe.absolute())


def _require_server() -> None:
    from prefect.settings import PREFECT_API_URL

    from tasks.orchestration.server import answers
    from wavlm.errors import ServiceMissingError, UsageError

    url = PREFECT_API_URL.value()
    if not url:
        raise UsageError(
            "PREFECT_UNSET",
            "no Prefect server is named; at PREFECT_API_URL; start one, and set e.g. "
            "PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    if not answers(url, 10.0):
        raise ServiceMissingError(
            "PREFECT_DOWN", f"no Prefect API answers; at PREFECT_API_URL={url}; start it, or correct the address"
        )
