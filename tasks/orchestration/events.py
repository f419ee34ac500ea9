"""Events of our own on Prefect's server, for its automations: data are prepared, a model was judged.

Prefect's events of states would do for neither: a run that an automation starts has states as well, and would start the
next one.
"""

from __future__ import annotations

import logging

import httpx
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from pydantic import JsonValue

from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe

PREPARED = "wavlm.prepare.done"
JUDGED = "wavlm.gate.verdict"

logger = logging.getLogger(__name__)


def tell_prepared(recipe: Recipe, store: Store) -> None:
    """All corpora and shards of a recipe are there."""
    _emit(
        PREPARED,
        {
            "prefect.resource.id": f"wavlm.recipe.{recipe.name}",
            "prefect.resource.name": recipe.name,
            "wavlm.store": str(store.root.absolute()),
        },
        {"recipe": recipe.name, "store": str(store.root.absolute())},
    )


def tell_verdict(recipe: Recipe, facts: RegistrationFacts, *, is_champion: bool) -> None:
    """A model was registered, and the gate said whether it is the champion."""
    verdict = "is champion" if is_champion else "is not champion"
    _emit(
        JUDGED,
        {
            "prefect.resource.id": f"wavlm.model.{facts.name}.{facts.version}",
            "prefect.resource.name": f"{facts.name} version {facts.version}",
            "wavlm.recipe": recipe.name,
            "wavlm.champion": str(is_champion).lower(),
        },
        {
            "text": f"{facts.name} version {facts.version} {verdict}: {facts.champion}",
            "recipe": recipe.name,
            "model": facts.name,
            "version": facts.version,
            "champion": is_champion,
            "reason": facts.champion,
            "registry": facts.uri,
        },
    )


def _emit(event: str, resource: dict[str, str], payload: dict[str, JsonValue]) -> None:
    """Send an event from a run. It is sent in the background; a server that does not answer costs a warning."""
    if FlowRunContext.get() is None:
        return  # no server follows this process
    try:
        emit_event(event, resource, payload=payload)
    except (httpx.HTTPError, PrefectException, OSError, RuntimeError, ValueError) as error:
        logger.warning("Prefect is not told %s: %s", event, error)
