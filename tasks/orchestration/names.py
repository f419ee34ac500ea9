"""Names of flow runs: what is made, for which recipe. A name that a person gave stays."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import httpx
from coolname.data import config
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from tasks.orchestration.client import open_prefect

logger = logging.getLogger(__name__)

_LISTS: Any = config
# The form of Prefect's first interface proposes a Greek letter with a number and a star. (One of nine times without a
# number: that may as well be a person's `beta-test`, and stays.) Its second one proposes `Handmade-Numbat`.
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma|tau|upsilon|phi|chi|"
    "psi|omega"
)
_STAR = re.compile(rf"({_GREEK})\d+(-[a-z]+)+")
_MAYBE_MADE_UP = re.compile(r"[A-Z][a-z]+-[A-Z][a-z]+")
_WORDS = {word for item in _LISTS.values() for word in item.get("words", ())}


def name_flow_run() -> str:
    """The name of the flow run that is about to start, from its parameters. For `flow(flow_run_name=...)`."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a run is named while it starts")
    given = context.flow_run.name
    return describe_run(context.flow.name if context.flow else "run", context.parameters or {}, given)


def describe_run(flow: str, parameters: dict[str, Any], given: str = "") -> str:
    """`labels demo, iteration 2, redo`; or the name that was given, unless Prefect made it up.

    What may be a person's name or one of Prefect's stands behind in brackets.
    """
    if given and not is_made_up(given) and not _MAYBE_MADE_UP.fullmatch(given):
        return given
    what = parameters.get("kind") or flow
    of = parameters.get("model") or Path(parameters.get("recipe") or parameters["system"]).stem
    parts = [f"{what} {of}"]
    named = ("suite", "iteration", "corpus", "until", "number")
    parts += [f"{name} {value}" for name in named if (value := parameters.get(name))]
    parts += ["redo"] if parameters.get("redo") else []
    return ", ".join(parts) + (f" ({given})" if _MAYBE_MADE_UP.fullmatch(given) else "")


def is_made_up(name: str) -> bool:
    """Whether Prefect made it up: its server and command line, `therapeutic-loon`, or its form, `nu60-betelgeuse-z`."""
    words = name.split("-")
    return (len(words) == 2 and all(word in _WORDS for word in words)) or bool(_STAR.fullmatch(name))


def current_name() -> str:
    """The name of the flow run that is under way; empty outside of one."""
    context = FlowRunContext.get()
    return context.flow_run.name if context and context.flow_run else ""


def add_to_name(remark: str) -> None:
    """Let the name of the flow run end with a remark, unless a person gave the name."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        return
    name = context.flow_run.name
    if not name.startswith(describe_run(context.flow.name, context.parameters or {})):
        return
    try:
        with open_prefect() as client:
            client.set_flow_run_name(context.flow_run.id, f"{name} ({remark})")
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("Prefect does not show the remark %r: %s", remark, error)
