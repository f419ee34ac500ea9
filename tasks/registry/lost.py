"""Registrations that their registry lost: it was emptied, or is a new one at the same address.

Looked for at the start of a run, without MLflow's client. A version that somebody deleted from a registry that knows
its run is left alone: `wavlm sync` brings it back, and no run does that night after night.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from tasks.registry.current import knows_run, read_current
from wavlm.errors import LockedError
from wavlm.pipeline.artifacts import Artifact, Registration
from wavlm.pipeline.registration import RegistrationFacts, place_of, show_registry
from wavlm.pipeline.store import Store

_log = logging.getLogger(__name__)


def take_back_lost(artifacts: Iterable[Artifact], store: Store) -> tuple[Registration, ...]:
    """Move the registrations that their registry lost to the trash, so that they are made again; returns them.

    Without an answer in a few seconds nothing is changed: a registry that is away stops no run.
    """
    registered = [item for item in artifacts if isinstance(item, Registration) and store.is_complete(item)]
    current = read_current(store, {item.registry_name for item in registered}) if registered else None
    if current is None:
        return ()
    there = {(name, found.key) for (name, _), found in current.items()}
    gone = [item for item in registered if (item.registry_name, item.model.key) not in there]
    return tuple(item for item in gone if _take_back(item, store))


def _take_back(item: Registration, store: Store) -> bool:
    facts = store.facts(item, RegistrationFacts)
    version, place = f"{facts.name}:{facts.version}", show_registry(place_of(facts), store.root)
    is_known = knows_run(store, facts)
    if is_known is None:
        return False
    if is_known:
        _log.warning("%s was deleted from %s; to register it again: wavlm sync RECIPE", version, place)
        return False
    lost = f"{version} is not in {place}, which was emptied or is a new one"
    try:
        with suppress(LockedError):  # somebody registers it at this moment
            store.redo(item)
    except OSError as error:  # who only reads a store registers nothing
        _log.warning("%s; to register it again: wavlm sync RECIPE (not done now: %s)", lost, error)
        return False
    _log.warning("%s: it is registered again", lost)
    return True
