"""One row: a small system trained, the same without training, and a trivial answer, on the same held-out recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from tests.learn.baselines import answer_trivially
from tests.learn.gains import Answers, answers_of, gain_over
from tests.learn.material import prepare
from tests.learn.rows import Bounded, LearnRow, is_measured, read_rows
from tests.learn.training import key_of, spec_of, train, without_training
from wavlm.errors import CodedError
from wavlm.evaluation.results.facts import Amount, EvaluationFacts, Figure
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.turns import turns_of
from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.finetune.data import TrainingData
from wavlm.specs.finetune import FinetuneSpec

Found = TypeVar("Found")


@dataclass(frozen=True)
class Learner:
    """What is trained on what, and by which figure it is judged."""

    material: str
    figure: str
    baseline: str
    data: str  # in words
    unit: Literal["%", "dB"] = "%"


_TALKS = "talks of {} voices, made of read speech"
LEARNERS = {
    "asr-small": Learner("read-phrases", "cer", "commonest letters", "phrases of a second or two of read speech"),
    "css-small": Learner("read-speech", "si_sdri", "the mixture", "two voices that overlap, of read speech", "dB"),
    "asv-small": Learner("read-speech", "eer_as_norm", "mean spectrum", "read speech"),
    "sd-eend-eda-small": Learner("read-speech", "der", "one speaker", _TALKS.format(2)),
    "sd-sc-eend-small": Learner("read-speech", "der", "one speaker", _TALKS.format(2)),
    "sd-eend-vc-small": Learner("read-speech", "der", "one speaker", _TALKS.format(2)),
    "sd-eend-gla-small": Learner("read-speech", "der", "one speaker", _TALKS.format("2 or 3")),
    "ks-small": Learner("spoken-digits", "accuracy", "commonest class", "spoken digits, in place of a game's words"),
}


@dataclass(frozen=True)
class Campaign:
    """Where it works, on which model, at which commit."""

    work: Path
    model: Path
    commit: str
    any_commit: bool = False

    @property
    def trainings(self) -> Path:
        """Where trainings are: those of other code are apart, unless it does not matter."""
        return self.work / "trainings" / ("any" if self.any_commit else self.commit)

    def measured(self, system: str, key: str) -> LearnRow | None:
        """The row that need not be measured again."""
        rows = read_rows(self.work)
        if not is_measured(rows, system, key, "" if self.any_commit else self.commit):
            return None
        return next(row for row in rows if row.system == system)


def measure(campaign: Campaign, system: str) -> LearnRow:
    """Train and score what is not there yet."""
    learner = LEARNERS[system]
    spec, data = spec_of(system, learner.material), prepare(learner.material, campaign.work)
    model = None if spec.baseline else campaign.model
    key = key_of(spec, data, model)
    if (found := campaign.measured(system, key)) is not None:
        return found
    opened = open_data(spec, data)
    trained, untrained = (
        train(it, data, model, campaign.trainings / f"{system}-{key}{end}", campaign.commit)
        for it, end in ((spec, ""), (without_training(spec), "-untrained"))
    )
    ours, control = (
        answers_of(it.folder, opened, figure_named(it.facts.results.figures, learner.figure))
        for it in (trained, untrained)
    )
    trivial = _trivial_answers(learner, opened)
    results, best = trained.facts.results, ours.reported
    return LearnRow(
        system=system,
        task=results.task,
        figure=learner.figure,
        unit=learner.unit,
        is_lower_better=best.is_lower_better,
        trained=Bounded.of(best),
        untrained=Bounded.of(control.reported),
        baseline=Bounded.of(trivial.reported),
        baseline_name=learner.baseline,
        over_untrained=gain_over(ours, control, opened),
        over_baseline=gain_over(ours, trivial, opened),
        data=learner.data,
        reality=results.reality,
        test=_amount(results, opened.split),
        intervals=best.interval.method if best.interval else "none",
        minutes=trained.minutes,
        cpu_s=trained.cpu_s,
        control_cpu_s=untrained.cpu_s,
        key=key,
        commit=trained.commit,
        date=trained.date,
    )


def try_to(get: Callable[[Campaign, str], Found], campaign: Campaign, name: str) -> Found | str:
    """What is measured of a system; what went wrong, as text, so that the others are measured all the same."""
    try:
        return get(campaign, name)
    except CodedError as error:
        return f"{name}: {error}"


def open_data(spec: FinetuneSpec, data: LabelledFolders) -> TrainingData:
    """The examples of a system in their parts; its states are not computed."""
    return TrainingData(FinetuneJob(key="", out=data.corpus.parent, spec=spec, data=(data,)))


def figure_named(figures: Sequence[Figure], name: str) -> Figure:
    """The figure of that name."""
    return next(figure for figure in figures if figure.name == name)


def _trivial_answers(learner: Learner, data: TrainingData) -> Answers:
    predictions, scorer = answer_trivially(learner.baseline, data)
    figures = scorer.score(data.split.test, predictions)
    return Answers(predictions, scorer, figure_named(figures, learner.figure))


def _amount(results: EvaluationFacts, split: Split) -> Amount:
    """How much was scored; the voices of talks are those of their turns."""
    assert results.test is not None
    if results.task != "sd":
        return results.test
    voices = {turn[2] for item in split.test for turn in turns_of(item)}
    return results.test.model_copy(update={"speakers": len(voices)})
