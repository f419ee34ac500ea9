"""The gain of a model over another one by a figure of the recipe's suite, from evaluations that the store holds."""

from __future__ import annotations

from collections.abc import Collection

from wavlm.evaluation.facts import Gain
from wavlm.evaluation.results.board import StoredResult
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.plan import evaluations_of
from wavlm.pipeline.scoreboard import find_results, metric_name, read_stored_results
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.tasks import TaskSpec


def measure_task(
    metric: str, model: Model, others: Collection[str], recipe: Recipe, store: Store, confidence: float
) -> Gain | str:
    """The gain by a figure such as `superb/ks/accuracy`; a text that says why there is none.

    others: the keys that the other model may have in the store, as one that was trained here or was imported.
    """
    suite = recipe.evaluate.name if recipe.evaluate else ""
    evaluations = evaluations_of(model, recipe)
    tasks = {it.spec.name: it.spec.task for it in evaluations}
    own = [it for it in find_results(evaluations, store) if it.subject == model.key]
    for mine in own:
        for figure in mine.facts.figures:
            if metric_name(suite, mine.facts, figure) == metric:
                theirs = _find_same(mine, others, store)
                if theirs is None:
                    return (
                        f"the champion has no results of {mine.facts.evaluation} under the same conditions in this "
                        "store: name it in `evaluate_models`, or run the recipe that trained it with this suite"
                    )
                return _compare(metric, (mine, theirs), figure.name, tasks[mine.facts.evaluation], confidence)
    return f"{metric} was not measured: no evaluation of the recipe's suite gives it"


def _find_same(mine: StoredResult, others: Collection[str], store: Store) -> StoredResult | None:
    """The newest result of the other model that differs in the model alone."""
    same = [
        it
        for it in read_stored_results(store)
        if it.subject in others and (it.facts.evaluation, it.conditions) == (mine.facts.evaluation, mine.conditions)
    ]
    return max(same, key=lambda it: it.finished_unix, default=None)


def _compare(
    metric: str, both: tuple[StoredResult, StoredResult], name: str, task: TaskSpec, confidence: float
) -> Gain | str:
    from wavlm.evaluation.paired_tasks import find_task_gain

    mine, theirs = both
    assert mine.folder  # noqa: S101 - both were read from the store
    assert theirs.folder  # noqa: S101
    return find_task_gain(metric, (mine.facts, mine.folder), (theirs.facts, theirs.folder), name, task, confidence)
