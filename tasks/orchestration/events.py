"""Events of our own on Prefect's server, for its automations: data are prepared, a refresh is due, a model was judged.

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
from wavlm.pipeline.summary import hours_since_refresh, speech_hours
from wavlm.specs import Recipe

PREPARED = "wavlm.prepare.done"
REFRESH_DUE = "wavlm.refresh.due"
JUDGED = "wavlm.gate.verdict"

logger = logging.getLogger(__name__)


def tell_prepared(recipe: Recipe, store: Store, enough_hours: float | None = None) -> None:
    """All corpora and shards of a recipe are there; and a refresh is due, if enough speech came in since the last.

    `enough_hours`: how much that is; None: it is not asked.
    """
    hours, added = speech_hours(recipe, store), hours_since_refresh(recipe, store)
    resource = {
        "prefect.resource.id": f"wavlm.recipe.{recipe.name}",
        "prefect.resource.name": recipe.name,
        "wavlm.store": str(store.root.absolute()),
    }
    facts: dict[str, JsonValue] = {
        "recipe": recipe.name,
        "store": str(store.root.absolute()),
        "hours": hours,
        "hours_added": added,
    }
    _emit(PREPARED, resource, facts)
    if enough_hours is not None and added is not None and added >= enough_hours:
        logger.info("%.2f hours of speech came in since the last refresh: another one is due", added)
        _emit(REFRESH_DUE, resource, {**facts, "enough_hours": enough_hours})


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
