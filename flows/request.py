"""The evaluation of a model that is named: what is asked for, and what becomes of it in the registry."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wavlm.errors import CodedError
from wavlm.pipeline.store import Store
from wavlm.specs import SuiteSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A recipe that evaluates one model."""

    recipe: Path
    missing: Sequence[CodedError]  # why evaluations of the suite were left out
    reference: str | None  # of the model in the registry


def ask(model: str, suite: SuiteSpec, store: Store) -> Request:
    """Write the recipe that evaluates a model on what of a suite can be had here; the rest is named in the log.

    Raises UsageError (SUBJECT_UNKNOWN) for what is no model, NotReadyError if no evaluation can be run.
    """
    from wavlm.pipeline.request import reference_of, set_absent_aside, set_missing_aside, write_request

    wanted, missing = set_missing_aside(suite)
    wanted, absent = set_absent_aside(wanted)
    for line in (*(f"left out: {problem}" for problem in missing), *absent):
        logger.warning("%s", line)
    network, reference = None, reference_of(model)
    if reference:
        from tasks.registry.lookup import find_network

        network = find_network(store, reference)
    return Request(write_request(model, wanted, store, network), missing, reference)


def publish_request(request: Request, store: Store) -> list[str]:
    """Add the results to the version that was evaluated, if it is one of the registry; its names.

    Raises ServiceMissingError (NOT_REGISTERED) if the registry does not take them.
    """
    if request.reference is None:
        return []
    from tasks.results import publish_late
    from wavlm.errors import LockedError, ServiceMissingError
    from wavlm.pipeline.resolve import resolve
    from wavlm.specs.yaml import read_recipe

    try:
        return list(publish_late(resolve(read_recipe(request.recipe), store), store))
    except (ServiceMissingError, LockedError) as error:
        command = f"wavlm sync {shlex.quote(str(request.recipe))} --store {shlex.quote(str(store.root))}"
        raise ServiceMissingError(
            "NOT_REGISTERED",
            f"the registry did not take the results, which are complete in the store: {error.message}; for "
            f"{request.reference}; once it answers: {command}",
        ) from error
