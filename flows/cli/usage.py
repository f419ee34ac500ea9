"""Refuse a wrong command line: one message with a code, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from typer import TyperException

from wavlm.errors import UsageError
from wavlm.specs.lookup import suggest


def to_coded(error: TyperException) -> UsageError:
    """What the parser of the command line refused, in the form of all our refusals."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "wavlm"
    text = error.message if hasattr(error, "possibilities") else error.format_message()
    what = " ".join(text.replace("Value error, ", "").split())  # a missing choice lists the choices in lines
    what = what[:1].lower() + what[1:].rstrip(".")
    advice = suggest(*_candidates(error)) or f"see {where} --help"
    return UsageError("USAGE", f"{what}; at {where}; {advice}")


def _candidates(error: TyperException) -> tuple[str, Iterable[str]]:
    """What was typed, and what may be typed there."""
    if options := getattr(error, "possibilities", None):
        return getattr(error, "option_name", ""), options
    context = getattr(error, "ctx", None)
    if found := re.search(r"No such command '(.*)'", error.message):
        return found[1], getattr(getattr(context, "command", None), "commands", {})
    if found := re.search(r"'(.*)' is not one of (.*)", error.message):
        return found[1], re.findall(r"'([^']+)'", found[2])
    return "", ()
