"""Every command that README and docs show exists, with the options and files that it shows."""

from __future__ import annotations

import importlib.util
import re
import shlex

import pytest
import typer

from flows.cli.main import app
from tests.docs.commands import PLACEHOLDERS, PROGRAMS, ROOT, Shown, shown_commands, unknown_lines

COMMANDS = shown_commands()


def of(program: str) -> list[Shown]:
    return [shown for shown in COMMANDS if shown.program == program]


def words(shown: Shown) -> list[str]:
    line = re.sub(r"\.\.\.|…", "x", shown.line)
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(line)]


def test_every_line_of_a_shell_block_is_a_command_that_is_checked() -> None:
    assert unknown_lines() == []


@pytest.mark.parametrize("shown", of("wavlm"), ids=str)
def test_the_parser_takes_a_command_of_ours(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    parse(words(shown)[1:])


def handed_to_slurm() -> list[list[str]]:
    """What jobs run: the commands that are wrapped, and what the shipped script makes of its arguments."""
    found = []
    for shown in (item for item in COMMANDS if "sbatch" in item.line):
        found += [shlex.split(text)[1:] for text in re.findall(r'--wrap "(wavlm [^"]+)"', shown.line)]
        if script := re.search(r"train\.sbatch (.*)$", shown.line):
            recipe, store, *options = shlex.split(script[1])
            found.append(["run", recipe, "--store", store, *options])
    return found


@pytest.mark.parametrize("arguments", handed_to_slurm(), ids=" ".join)
def test_the_parser_takes_what_is_handed_to_slurm(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    parse(arguments)


def test_three_commands_lead_from_a_laptop_to_a_cluster() -> None:
    shown = [item.line for item in COMMANDS if item.document.name == "README.md" and "/shared/store" in item.line]
    assert [line.split()[0] for line in shown] == ["wavlm", "sbatch", "sbatch"]
    assert len(handed_to_slurm()) >= 6


def parse(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    while commands := getattr(command, "commands", {}):
        name, *arguments = arguments
        assert name in commands
        command = commands[name]
    command.make_context(command.name, arguments)  # raises for an unknown option or a missing argument


@pytest.mark.parametrize("shown", of("prefect"), ids=str)
def test_the_parser_takes_a_command_of_prefect(shown: Shown) -> None:
    from prefect.cli._app import _app

    arguments = [word for word in words(shown)[1:] if word != "--no-prompt"]  # of Prefect itself, not of a command
    _app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("shown", of("make"), ids=str)
def test_a_target_of_make_exists(shown: Shown) -> None:
    targets = [word for word in words(shown)[1:] if "=" not in word]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("shown", of("python"), ids=str)
def test_a_module_that_is_run_exists(shown: Shown) -> None:
    arguments = words(shown)[1:]
    assert arguments[0] == "-m"
    assert importlib.util.find_spec(arguments[1])


@pytest.mark.parametrize(
    "shown", [shown for shown in COMMANDS if re.search(r"(data_specs|examples|tests|benchmarks)/", shown.line)], ids=str
)
def test_a_file_of_the_project_that_a_command_names_exists(shown: Shown) -> None:
    for path in re.findall(r"(?<![\w/.])(?:data_specs|examples|tests|benchmarks)/[\w./-]+", shown.line):
        assert (ROOT / path).exists(), path


def test_each_known_program_is_shown_or_could_be() -> None:
    assert {shown.program for shown in COMMANDS} <= PROGRAMS
    assert len(of("wavlm")) > 20  # the expression that finds them works
