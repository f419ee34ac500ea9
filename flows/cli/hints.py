"""Commands in messages, made complete: with the recipe and the store that were given, ready to be pasted.

Code below the command line writes `wavlm sync RECIPE`. Such a command stands in backticks, or ends at a comma, a
semicolon, a bracket, two spaces or the end of the line.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import typer

_COMMAND = re.compile(r"(?<![\w/.-])wavlm(?P<words>(?: [^\s`,;()]+)+)")


@dataclass
class Given:
    """What was typed; None for what was not. The options fill it in while the command line is parsed."""

    recipe: str | None = None
    store: str | None = None
    takes_store: dict[str, bool] = field(default_factory=dict)  # by command

    @classmethod
    def of(cls, context: typer.Context) -> Given:
        """What was typed before a command was started; nothing if it was not started by `main`."""
        return context.obj if isinstance(context.obj, Given) else cls()

    def complete(self, text: str) -> str:
        """The text with all commands in it complete."""
        return _COMMAND.sub(self._complete_one, text)

    def _complete_one(self, found: re.Match[str]) -> str:
        words = found["words"].split()
        if words[0] not in self.takes_store:
            return found[0]
        if self.recipe is not None:
            words = [shlex.quote(self.recipe) if word == "RECIPE" else word for word in words]
        if self.store is not None and self.takes_store[words[0]] and "--store" not in words:
            words += ["--store", shlex.quote(self.store)]
        return " ".join([_program(), *words])


def _program() -> str:
    """What to type for `wavlm`: where a shell would not find it, its path beside this Python, if it is there."""
    beside = Path(sys.executable).with_name("wavlm")
    return "wavlm" if shutil.which("wavlm") or not beside.exists() else shlex.quote(str(beside))
