"""A shell offers names after TAB, at every command that takes one."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer

from flows.cli.complete import complete_corpus, complete_iteration, complete_recipe
from flows.cli.main import app

WITH_NAMES = {"recipe", "corpus", "iteration", "model"}


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))  # type: ignore[arg-type]
PARAMETERS = [
    (name, parameter) for name, command in COMMANDS.items() for parameter in command.params
    if parameter.name in WITH_NAMES and (name, parameter.name) != ("init", "corpus")  # a file beside what it writes
]  # fmt: skip


@pytest.mark.parametrize(("command", "parameter"), PARAMETERS, ids=lambda value: getattr(value, "name", value))
def test_a_name_that_is_asked_for_is_offered(command: str, parameter: click.Parameter) -> None:
    context = click.Context(COMMANDS[command], info_name=command)
    context.params["recipe"] = "demo"
    offered = [item.value for item in parameter.shell_complete(context, "")]
    if parameter.name == "model":
        assert offered == []  # no store is there
    else:
        assert offered == {
            "recipe": complete_recipe(""), "corpus": complete_corpus(context, ""),  # type: ignore[arg-type]
            "iteration": complete_iteration(context, ""),  # type: ignore[arg-type]
        }[parameter.name or ""]  # fmt: skip
        assert offered


def test_what_is_offered_begins_with_what_was_typed() -> None:
    assert "demo" in complete_recipe("de")
    assert all(name.startswith("wavlm-") for name in complete_recipe("wavlm-"))
    assert complete_recipe("no such") == []
    context = click.Context(COMMANDS["run"], info_name="run")
    context.params["recipe"] = "demo"
    assert complete_iteration(context, "") == ["1", "2"]  # type: ignore[arg-type]
    assert complete_iteration(context, "2") == ["2"]  # type: ignore[arg-type]
    assert complete_corpus(context, "festvox-ru") == ["festvox-ru"]  # type: ignore[arg-type]
