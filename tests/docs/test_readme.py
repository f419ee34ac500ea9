"""The README is short, and the commands that documents show exist with the options that they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from flows.cli.main import app

ROOT = Path(__file__).parents[2]
MAX_WORDS = 1800  # of the README: what a reader takes in at once


def shown_commands() -> Iterator[tuple[str, str]]:
    """Each command line `wavlm ...` in a code block of these documents, and where it stands."""
    for path in (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("deploy", "performance", "python"))):
        blocks = re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        for line in "".join(blocks).replace("\\\n", " ").splitlines():
            if line.strip().startswith(("wavlm ", ".venv/bin/wavlm ")) and "..." not in line:
                yield path.name, re.sub(r"\s+#.*", "", line).strip()


COMMANDS = list(dict.fromkeys(shown_commands()))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= MAX_WORDS


def test_the_readme_shows_ten_commands() -> None:
    assert len([where for where, _ in COMMANDS if where == "README.md"]) == 10


@pytest.mark.parametrize(("where", "line"), COMMANDS)
def test_a_shown_command_can_be_parsed(where: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while commands := getattr(command, "commands", {}):
        name, *arguments = arguments
        assert name in commands, where
        command = commands[name]
    command.make_context(command.name, arguments)  # raises for an unknown option or a missing argument


@pytest.mark.parametrize(("where", "line"), COMMANDS)
def test_a_shown_command_names_specs_that_exist(where: str, line: str) -> None:
    for path in re.findall(r"data_specs/\S+", line):
        assert (ROOT / path).exists(), f"{where}: {line}"
