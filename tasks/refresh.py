"""Refreshes of a recipe: begin a number, let it take the recordings that are there, and seal it.

Every step may be done again: a refresh that was killed at any place is gone on with, and ends as it would have.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tasks.orchestration.waiting import wait_out
from tasks.versions import ask_models, resolve_versions
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.refreshes import (
    Product,
    Refresh,
    ResolvedModel,
    TakenCorpus,
    aliases_of,
    note_corpora,
    read_refresh,
    write_refresh,
)
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import speech_hours
from wavlm.specs import Recipe
from wavlm.storage.locks import hold_lock

_log = logging.getLogger(__name__)


@contextmanager
def alone(recipe: Recipe, store: Store, runtime: Runtime) -> Iterator[None]:
    """While the block runs no other process refreshes the recipe; one that does is waited for."""
    lock = store.root / "locks" / f"refreshing-{recipe.name}.lock"
    with ExitStack() as stack:
        wait_out(lambda: stack.enter_context(hold_lock(lock, f"the refresh of {recipe.name}")), runtime)
        yield


def begin(
    recipe: Recipe, store: Store, read_today: Callable[[], Recipe], number: int | None = None, *, anyway: bool = False
) -> Refresh | None:
    """The number to work on: the open one, else the next; None if nothing is new since the newest was sealed.

    read_today: gives the recipe with its folders as they are now. number: which one is meant; of a sealed one nothing
    is left to do. anyway: begin the next one also with nothing new.
    Raises UsageError (REFRESH_FIXED, REFRESH_NUMBER), and what the registry and the folders raise.
    """
    if not aliases_of(recipe):
        raise UsageError(
            "REFRESH_FIXED",
            f"no model of this recipe is named by an alias, so every refresh would begin with the same; in recipe "
            f"{recipe.name}; give `models: {{champion: {{registry: {recipe.registry_name}@champion}}}}` and "
            "`start: {model: champion}`, or use wavlm run",
        )
    newest = read_refresh(store.root, recipe.name)
    _require_number(number, newest, recipe)
    if newest and newest.state == "open":
        found = resolve_versions(recipe, store)  # models that the recipe has got since
        _say(found, "is gone on with")
        return found
    if newest and number == newest.number:
        _log.info("refresh %d is sealed: nothing is left to do", newest.number)
        return None
    models = ask_models(recipe, store, {})
    if newest and not anyway and not _has_news(newest, models, note_corpora(read_today())):
        _log.info(
            "nothing is new since refresh %d: the same speech, and no other model; to begin one: --anyway",
            newest.number,
        )
        return None
    found = Refresh(number=newest.number + 1 if newest else 1, models=models, opened_unix=time.time())
    write_refresh(store.root, recipe.name, found)
    _say(found, "begins")
    return found


def take_corpora(recipe: Recipe, store: Store) -> None:
    """Write down which recordings the open number has taken, once: now that all of its shards are there.

    recipe: resolved, as the shards were made from it. The folder may hold more by now.
    """
    found = read_refresh(store.root, recipe.name)
    if found is None or found.hours is not None or found.state == "sealed":
        return
    taken = {"corpora": note_corpora(recipe), "hours": speech_hours(recipe, store)}
    write_refresh(store.root, recipe.name, found.model_copy(update=taken))


def seal(recipe: Recipe, store: Store) -> Refresh | None:
    """Seal the open number, if all that it wants is there, registered and judged; returns the newest."""
    found, artifacts = read_refresh(store.root, recipe.name), plan(recipe)
    if found is None or found.state == "sealed" or not store.has_all(artifacts):
        return found
    last = [item for item in artifacts if isinstance(item, Registration)][-1]
    facts = store.facts(last, RegistrationFacts)
    product = Product(model=facts.name, version=facts.version, sha256=facts.sha256, verdict=facts.champion)
    sealed = found.model_copy(update={"state": "sealed", "product": product, "sealed_unix": time.time()})
    write_refresh(store.root, recipe.name, sealed)
    _log.info("refresh %d is sealed: %s version %d; %s", sealed.number, product.model, product.version, product.verdict)
    return sealed


def _require_number(number: int | None, newest: Refresh | None, recipe: Recipe) -> None:
    """Raise UsageError (REFRESH_NUMBER) unless the number is the newest, or the next one of a sealed one."""
    last = newest.number if newest else 0
    is_next = number == last + 1 and (newest is None or newest.state == "sealed")
    if number in (None, last) or is_next:
        return
    state = f"the newest is {last}, {newest.state}" if newest else "there is none yet"
    raise UsageError(
        "REFRESH_NUMBER",
        f"refresh {number} can neither be gone on with nor begun: {state}; in recipe {recipe.name}; leave the number "
        f"out, or give {last + 1 if newest is None or newest.state == 'sealed' else last}",
    )


def _has_news(newest: Refresh, models: Mapping[str, ResolvedModel], corpora: Mapping[str, TakenCorpus]) -> bool:
    """Whether there is speech that the newest number did not take, or a model that it neither took nor made."""
    product = newest.product.sha256 if newest.product else None
    before = newest.models
    is_other = [
        name
        for name, found in models.items()
        if name not in before
        or ((found.sha256, found.first) != (before[name].sha256, before[name].first) and found.sha256 != product)
    ]
    return bool(is_other) or {name: _content(item) for name, item in corpora.items()} != {
        name: _content(item) for name, item in newest.corpora.items()
    }


def _content(corpus: TakenCorpus) -> tuple[object, object]:
    grown = corpus.source.get("grown") or []
    return corpus.source.get("content"), tuple(grown) if isinstance(grown, list) else grown


def _say(refresh: Refresh, what: str) -> None:
    models = "; ".join(f"{name}: {model}" for name, model in refresh.models.items())
    _log.info("refresh %d %s: %s", refresh.number, what, models or "no model is asked for")
