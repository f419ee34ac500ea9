"""`wavlm`: the command line. What a command needs is imported in it, so that help and `plan` answer at once."""

from __future__ import annotations

import platform
import sys
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import console, usage
from flows.cli import deploy as cli_deploy
from flows.cli import diarize as cli_diarize
from flows.cli import evaluate as cli_evaluate
from flows.cli import features as cli_features
from flows.cli import finetune as cli_finetune
from flows.cli import grow as cli_grow
from flows.cli import house as cli_house
from flows.cli import init as cli_init
from flows.cli import mirror as cli_mirror
from flows.cli import models as cli_models
from flows.cli import parts as cli_parts
from flows.cli import pin as cli_pin
from flows.cli import refresh as cli_refresh
from flows.cli import report as cli_report
from flows.cli import results as cli_results
from flows.cli import run as cli_run
from flows.cli import separate as cli_separate
from flows.cli import simulate as cli_simulate
from flows.cli import store as cli_store
from flows.cli import ui as cli_ui
from flows.cli.hints import Given
from wavlm.errors import EXIT_BUG, EXIT_USAGE
from wavlm.execution.installation import DISTRIBUTION
from wavlm.execution.stop import end_on_signals, end_process, end_within
from wavlm.storage.disk_watch import watch_disk

MOST_PLACES = 8  # of a command line whose disks are watched; thousands of recordings have few folders
EXIT_SECONDS = 60.0  # for what Prefect still tells its server; one that hangs or is gone is asked for many minutes
app = typer.Typer(
    name="wavlm",
    help="Pre-train WavLM: from raw speech corpora to a registered model.\n\n"
    "  [cyan]wavlm run data_specs/recipes/demo.yaml[/]    everything, or what is left of it\n\n"
    "  [cyan]wavlm plan data_specs/recipes/demo.yaml[/]   what would be made, and why\n\n"
    "  [cyan]wavlm status[/]                              what is there\n\n"
    "Exit codes: 0 done, 1 bug, 2 usage or recipe, 65 bad data, 69 a service is missing, "
    "71 a process was killed or memory is full, 73 cannot write, 75 stopped: run again, 77 locked or no permission.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    suggest_commands=False,  # our own refusal of a wrong command line suggests
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the form of a callback
    if wanted:
        others = ", ".join(f"{name} {_find_version(name)}" for name in ("torch", "prefect", "mlflow"))
        version = f"wavlm {_find_version(DISTRIBUTION)} (Python {platform.python_version()}, {others})"
        console.out.print(version, highlight=False, soft_wrap=True)
        raise typer.Exit


def _find_version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


@app.callback()
def _start(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options before a command."""


# Modules with commands, in the order in which help lists them. To add one is a name here, and one in the layers of
# pyproject.toml.
for module in (
    cli_init,
    cli_run,
    cli_parts,
    cli_store,
    cli_refresh,
    cli_grow,
    cli_pin,
    cli_report,
    cli_house,
    cli_mirror,
    cli_deploy,
    cli_evaluate,
    cli_finetune,
    cli_results,
    cli_features,
    cli_simulate,
    cli_diarize,
    cli_separate,
    cli_models,
    cli_ui,
):
    module.add_to(app)


def main() -> None:
    """Entry point: every failure that people act on is one message and its exit code."""
    end_on_signals()
    code = EXIT_BUG
    try:
        code = _run()
    finally:
        end_on_signals(code)  # what Prefect and our server do at exit is not worth a stack trace
        end_within(EXIT_SECONDS, code)
    end_process(code)


def _run() -> int:
    given = Given(takes_store=_find_takers())
    console.set_up_logging(given.complete)
    console.raise_on_signals()
    try:
        with ExitStack() as watched:
            for place in _find_places(sys.argv[1:]):
                watched.enter_context(watch_disk(place, flush=False))
            return int(app(prog_name="wavlm", standalone_mode=False, obj=given) or 0)
    except typer.TyperException as error:
        if error.format_message():  # help was printed if there is none
            console.print_error(usage.to_coded(error))
        return EXIT_USAGE
    except (Exception, console.InterruptedBySignal) as error:
        code = console.exit_code(error)
        if code is None:
            raise
        console.print_error(error, given.complete)
        return code


def _find_places(words: list[str]) -> list[Path]:
    """What a command line names of files and folders: their disks are watched before anybody looks at them."""
    paths = [Path(word) for word in words if "/" in word and not word.startswith("-") and "://" not in word]
    return list(dict.fromkeys([*paths[:MOST_PLACES], *(path.parent for path in paths)]))[: 2 * MOST_PLACES]


def _find_takers() -> dict[str, bool]:
    """Each command, and whether it has an option --store. A group has it if its commands do."""
    group = typer.main.get_command(app)
    return {name: any(map(_takes_store, _family(command))) for name, command in getattr(group, "commands", {}).items()}


def _family(command: Any) -> list[Any]:
    return [command, *getattr(command, "commands", {}).values()]


def _takes_store(command: Any) -> bool:
    return any(option.name == "store" for option in command.params)
