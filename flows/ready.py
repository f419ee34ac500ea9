"""The check before everything else: problems that recipe and machine show end a run in its first second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from wavlm.errors import CodedError, UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact
from wavlm.pipeline.aside import set_aside
from wavlm.pipeline.check import Remark, find, refuse
from wavlm.pipeline.check.wanted import Finding
from wavlm.pipeline.garbage.thinned import find_thinned
from wavlm.pipeline.mirror.sharing import bring_needed, require_mirror
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import resolve
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe

Choose = Callable[[Sequence[Artifact]], Sequence[Artifact]]  # what of a plan is to be made


def check_ready(
    recipe: str, store: Store, runtime: Runtime, choose: Choose = tuple, *, redo: bool = False, is_today: bool = False
) -> list[str]:
    """Raise NotReadyError, which lists all problems. With `redo` what is complete is made again. Returns warnings.

    What the mirror has comes first: it need not be made.
    `is_today`: with the folders as they are now, whatever the newest refresh has taken.
    """
    if not redo:
        _bring_needed(recipe, store, runtime, choose, is_today=is_today)
    remarks = refuse(find_all(recipe, store, runtime, choose, redo=redo, is_today=is_today))
    return [remark.text for remark in remarks if remark.is_warning]


def require_launcher(runtime: Runtime) -> None:
    """Raise UsageError (LAUNCHER_MISSING) if one process trains on several machines, and nothing starts the others."""
    if runtime.nodes > 1 and not runtime.starts_nodes:
        raise UsageError(
            "LAUNCHER_MISSING",
            f"{runtime.nodes} machines are to train one model, and this runs on one of them only; at --nodes; say what "
            "starts a program on each: --launcher 'srun --ntasks-per-node=1', or use `wavlm run` on each of them",
        )


def _bring_needed(recipe: str, store: Store, runtime: Runtime, choose: Choose, *, is_today: bool) -> None:
    if runtime.mirror:
        require_mirror(runtime)
        try:
            artifacts = choose(plan(resolve(read_recipe(Path(recipe)), store, is_today=is_today)))
        except CodedError:  # about a folder: the check says so
            return
        bring_needed(artifacts, store, runtime)


def find_all(
    recipe: str, store: Store, runtime: Runtime, choose: Choose = tuple, *, redo: bool = False, is_today: bool = False
) -> Iterator[Finding]:
    """The problems, and what is in order. An evaluation whose corpus is missing is a warning beside others."""
    recipe_spec = read_recipe(Path(recipe))
    try:
        recipe_spec = resolve(recipe_spec, store, is_today=is_today)
    except CodedError as error:  # about a folder; the others are looked for as well
        yield error
    aside = set_aside(choose(plan(recipe_spec)), recipe_spec, store)
    yield from (Remark(f"left out: {it}", is_warning=True) for it in aside.missing) if aside.kept else aside.missing
    chosen = [item for item in aside.kept if redo or not store.is_complete(item)]
    if not redo:  # which moves them away
        yield from filter(None, map(store.find_broken, chosen))
    chosen = list(dict.fromkeys([*find_thinned(chosen, store), *chosen]))
    yield from find(recipe_spec, chosen, store, runtime)
