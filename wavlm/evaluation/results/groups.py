"""SUPERB's groups of tasks, and its overall score with what is missing in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wavlm.evaluation.results.facts import EvaluationFacts, Figure

GROUPS: Mapping[str, tuple[str, ...]] = {  # SUPERB (Yang et al. 2021), SUPERB-SG (Tsai et al. 2022)
    "content": ("pr", "asr", "ood_asr", "ks", "qbe"),
    "speaker": ("sid", "asv", "sd"),
    "semantics": ("ic", "sf", "st"),
    "paralinguistics": ("er",),
    "generation": ("se", "ss", "vc"),
}
TASKS = tuple(task for tasks in GROUPS.values() for task in tasks)
SCORED_TASKS = tuple(task for task in TASKS if task not in GROUPS["generation"])
FIGURES_OF_TASK = {"sf": 2}  # F1 of slot types and CER of slot values count alike; of other tasks one figure counts
ALREADY_PERCENT = frozenset({"bleu"})


@dataclass(frozen=True)
class OverallScore:
    """SUPERB's overall score of one model, and which tasks it is a mean of."""

    score: float | None  # 0 to 100; None: no task that is scored
    scored: tuple[str, ...]  # tasks in it
    measured: tuple[str, ...]  # all tasks with results on speech that was recorded
    synthetic: tuple[str, ...]  # tasks with results on synthetic speech alone, which is no claim

    @property
    def is_complete(self) -> bool:
        """Whether every task that enters the score is in it."""
        return len(self.scored) == len(SCORED_TASKS)

    @property
    def note(self) -> str:
        """What a reader must know beside the number, as a sentence."""
        parts = (
            [] if len(self.measured) == len(TASKS) else [f"partial suite: {len(self.measured)} of {len(TASKS)} tasks"]
        )
        if not self.is_complete:
            parts.append(f"the score is a mean of {len(self.scored)} of {len(SCORED_TASKS)} tasks that enter it")
        if self.synthetic:
            parts.append(f"left out, because their speech is synthetic: {', '.join(self.synthetic)}")
        if generated := [task for task in self.measured if task in GROUPS["generation"]]:
            parts.append(f"not in the score, because their metrics are no percentages: {', '.join(generated)}")
        return "; ".join(parts)


def group_of(task: str) -> str:
    """The group of a task. Tasks that SUPERB does not have are in the group `other`."""
    return next((group for group, tasks in GROUPS.items() if task in tasks), "other")


def in_groups(results: Iterable[EvaluationFacts]) -> list[tuple[str, list[EvaluationFacts]]]:
    """The results by group, in the order of SUPERB's tables; groups without results are left out."""
    order = {task: number for number, task in enumerate(TASKS)}
    ordered = sorted(results, key=lambda item: order.get(item.task, len(order)))
    groups = [(group, [item for item in ordered if group_of(item.task) == group]) for group in (*GROUPS, "other")]
    return [(group, items) for group, items in groups if items]


def enters_score(result: EvaluationFacts) -> bool:
    """Whether a result counts in the overall score."""
    return result.task in SCORED_TASKS and result.is_claim and result.main is not None


def overall(results: Sequence[EvaluationFacts]) -> OverallScore:
    """The mean over figures in percent: error rates as 100 - rate, MTWV times 100, BLEU as it is.

    It gives the column `Overall` of the preprint's table from its other columns. Several evaluations of one task, such
    as OOD-ASR's languages, count as one: their mean. How the journal version averages PESQ, dB and MCD with percentages
    is not known, so tasks of generation are left out.
    """
    scorable = [item for item in results if item.task in TASKS and item.main]
    claims = [item for item in scorable if item.is_claim]
    of_tasks = {task: [item for item in claims if item.task == task] for task in TASKS}
    measured = tuple(task for task in TASKS if of_tasks[task])
    scored = tuple(task for task in measured if any(map(enters_score, of_tasks[task])))
    percents = [percent for task in scored for percent in _percents_of(task, of_tasks[task])]
    return OverallScore(
        score=sum(percents) / len(percents) if percents else None,
        scored=scored,
        measured=measured,
        synthetic=tuple(task for task in TASKS if task not in measured and task in {item.task for item in scorable}),
    )


def _percents_of(task: str, results: Sequence[EvaluationFacts]) -> list[float]:
    """The figures of a task that count, each its mean over the evaluations of the task."""
    counts = FIGURES_OF_TASK.get(task, 1)
    return [sum(to_percent(item.figures[number]) for item in results) / len(results) for number in range(counts)]


def to_percent(figure: Figure) -> float:
    """A figure as the overall score counts it: from 0 to 100, more is better."""
    if figure.name in ALREADY_PERCENT:
        return figure.value
    return 100 * (1 - figure.value if figure.is_lower_better else figure.value)
