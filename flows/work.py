"""What all flows share: check, make what was chosen, and show on the run's page what happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.make import make, make_again, read_resolved, require_registered
from flows.ready import Choose, check_ready
from flows.side_by_side import Make, make_side_by_side
from tasks.orchestration.alive import answer_when_lost
from tasks.orchestration.client import bound_engine
from tasks.orchestration.logs import send_logs
from tasks.orchestration.names import add_to_name, current_name
from tasks.orchestration.stage import say_outcome
from tasks.orchestration.summary import publish, publish_work
from tasks.orchestration.whole import show_whole
from tasks.registry.lost import take_back_lost
from tasks.results import publish_late_or_warn
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, Evaluation, ImportedModel
from wavlm.pipeline.aside import set_aside
from wavlm.pipeline.mirror.sharing import bring_needed, give_all
from wavlm.pipeline.one_look import one_look
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.gate import is_of_task
from wavlm.storage.disk_watch import watch_disk
from wavlm.storage.holders import name_run

MakeOne = Callable[[Artifact, Recipe, Store, Runtime], None]
NOTHING = "nothing to do"

logger = logging.getLogger(__name__)


@contextmanager
def under_way(store: str) -> Iterator[Store]:
    """The store that a flow works on, and what holds meanwhile.

    Requests have time limits, logs are sent, the flow says that it lives, and the disk is watched from the first look.
    """
    root = Path(store)
    with watch_disk(root), bound_engine(), send_logs(), name_run(current_name()), answer_when_lost():
        yield Store(root)


def work(  # noqa: PLR0913, PLR0915 - what, where, how, and two things that differ between flows
    recipe: str,
    store: str,
    runtime: Runtime,
    choose: Choose,
    make_one: MakeOne = make,
    tell: Callable[[Recipe, Store], object] | None = None,
    *,
    is_here: bool = True,
    is_today: bool = False,
) -> State[Recipe]:
    """Make the chosen artifacts of a recipe, in their order. Returns a flow's state with the resolved recipe.

    Raises LeftOutError at the end if evaluations were left out, because something is missing on this machine.
    `tell` is called when all of them are there. `is_here`: whether this machine makes all of it, so that it can be said
    how long that takes. `is_today`: folders as they are now, whatever the newest refresh has taken.
    """
    redo = make_one is make_again
    with under_way(store) as artifact_store:
        with one_look():  # and a fresh one when files are read into a part
            for warning in check_ready(recipe, artifact_store, runtime, choose, redo=redo, is_today=is_today):
                logger.warning("%s", warning)
            recipe_spec = read_resolved(recipe, artifact_store, runtime, choose, is_today=is_today)
        aside = set_aside(choose(plan(recipe_spec)), recipe_spec, artifact_store)
        chosen = aside.kept
        bring_needed(() if redo else chosen, artifact_store, runtime)  # now keys of folders that were new are known
        take_back_lost(chosen, artifact_store)
        there = [] if redo else [item for item in chosen if artifact_store.is_complete(item)]
        todo = [item for item in chosen if item not in there]
        try:
            with show_whole(weigh(todo, artifact_store, is_timed=is_here and not runtime.gpus)) as whole:

                def make_part(artifact: Artifact, how: Runtime) -> None:
                    if artifact in todo and artifact_store.is_complete(artifact):
                        say_outcome(artifact, artifact_store)  # this run waited for the one that made it
                    with whole.part(artifact.key):
                        make_one(artifact, recipe_spec, artifact_store, how)
                    if isinstance(artifact, ImportedModel) and artifact in todo:
                        check_ready(recipe, artifact_store, runtime, choose)  # its network is known only now

                _make_all(chosen, make_part, recipe_spec, artifact_store, runtime, redo=redo, is_here=is_here)
        finally:
            publish_late_or_warn(recipe_spec, recipe, artifact_store)
            publish_work(recipe_spec, artifact_store, chosen, there)
        publish(recipe_spec, artifact_store)
        give_all(chosen, artifact_store, runtime)
        if runtime.require_registry:
            require_registered(chosen, artifact_store, recipe)
        if tell:
            tell(recipe_spec, artifact_store)
        message = _conclude(artifact_store, chosen, there)
        aside.refuse()
        return Completed(message=message, data=recipe_spec)


def _make_all(  # noqa: PLR0913 - what, how, where, and two things that differ between flows
    chosen: Sequence[Artifact],
    make_one: Make,
    recipe: Recipe,
    store: Store,
    runtime: Runtime,
    *,
    redo: bool,
    is_here: bool,
) -> None:
    """Models from elsewhere one after the other, for what is wrong with them is to be known first; the rest together.

    What is made again is made one after the other, too: each is first moved away.
    """
    first = [item for item in chosen if redo or isinstance(item, ImportedModel)]
    for artifact in first:
        make_one(artifact, runtime)
    rest = [item for item in chosen if item not in first]
    make_side_by_side(rest, make_one, runtime, store.find_maker, find_spare(rest, recipe), is_here=is_here)


def find_spare(chosen: Sequence[Artifact], recipe: Recipe) -> set[str]:
    """Keys of the evaluations that no gate compares by: a version is registered without them where they fail."""
    if is_of_task(recipe.gate.metric):
        return set()
    return {item.key for item in chosen if isinstance(item, Evaluation)}


def weigh(todo: Sequence[Artifact], store: Store, *, is_timed: bool) -> dict[str, float]:
    """What each artifact weighs, by key: the seconds that it takes on the cores of this machine, and says their sum.

    On GPUs nobody knows before the first updates: there each weighs the same.
    """
    if not is_timed or not todo:
        return {item.key: 1.0 for item in todo}
    from wavlm.pipeline.estimate import estimate_on_this_machine

    found = estimate_on_this_machine(todo, store)
    logger.info(
        "this takes about %s on the cores of this machine; downloads and the heads of evaluations are not counted",
        show_time(sum(found.values())),
    )
    return {item.key: seconds for item, seconds in found.items()}


def show_time(seconds: float) -> str:
    """A length of time for people: minutes below two hours, then hours, then days."""
    for unit, length, limit in (("min", 60, 120 * 60), ("hours", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{max(1, round(seconds / length))} {unit}"
    return f"{round(seconds / 86400)} days"


def _conclude(store: Store, chosen: Sequence[Artifact], there: Sequence[Artifact]) -> str:
    """One line about the whole run, which its state shows; a run that had nothing to do says so in its name, too."""
    if len(there) == len(chosen):
        text = f"{NOTHING}: all {len(chosen)} artifacts were there"
        add_to_name(NOTHING)
    else:
        made = sum(item.key in store.built for item in chosen)
        missing = sum(not store.is_complete(item) for item in chosen)
        others = len(chosen) - len(there) - made - missing
        text = f"made {made} of {len(chosen)} artifacts, {len(there)} were there"
        text += f", {others} were made by other runs" if others else ""
        text += f", {missing} are missing" if missing else ""
    logger.info("%s", text)
    return text
