"""Gate spec: when a new version becomes champion."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticKnownError

from wavlm.specs.base import FieldError, NonNegative, Spec
from wavlm.specs.evaluation import EvaluationSpec, SuiteSpec
from wavlm.specs.objectives import Contrastive, MaskedPrediction, Objective
from wavlm.specs.speakers import SpeakerVerification

COMPARED = (  # figures of evaluations that are compared in pairs (wavlm/evaluation/paired_tasks.py)
    *("accuracy", "per", "cer", "wer", "cer_lm", "wer_lm", "slot_type_f1", "slot_value_cer", "bleu", "der"),
    *("pesq", "stoi", "si_sdr", "si_sdri", "mel_mcd", "eer", "min_dcf", "mtwv", "atwv"),
)
LOWER_IS_BETTER = frozenset({"valid/loss", "valid/identical_negatives", "probe/abx_within", "probe/abx_across"})
WHOLE = frozenset(Contrastive.gated)  # figures of all held-out speech together: no utterance has one of its own
Metric = Literal[
    "auto",
    "probe/pnmi",
    "probe/abx_within",
    "probe/abx_across",
    "valid/loss",
    "valid/masked_accuracy",
    "valid/hard_perplexity",
    "valid/soft_perplexity",
    "valid/identical_negatives",
    "labels/pnmi",
]
# A figure of an evaluation: suite, evaluation, figure.
TaskMetric = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*/[a-z0-9_]+$")]


def _refuse_once(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """One error for a mistyped metric, not one per kind of metric."""
    try:
        return handler(value)
    except ValidationError as error:
        expected = " or ".join(f"'{name}'" for name in (*get_args(Metric), "SUITE/EVALUATION/FIGURE"))
        raise PydanticKnownError("literal_error", {"expected": expected}) from error


def is_of_task(metric: str) -> bool:
    """Whether a metric is a figure of an evaluation, such as `superb/ks/accuracy`."""
    return metric.count("/") == 2


class GateSpec(Spec):
    """When a new version becomes `champion` in the registry: when it is better by one metric, measured alike."""

    metric: Annotated[Metric | TaskMetric, WrapValidator(_refuse_once)] = "auto"
    """The metric that is compared. `auto`: `probe/pnmi` where both versions have it, else `valid/loss`.

    `probe/pnmi` is the model's own: of its best layer, on valid speech with timed phones; it needs the recipe's
    `probe`. `probe/abx_within` and `probe/abx_across` are ABX errors within and across speakers, on the same speech, of
    the layer where the error is lowest. Validation metrics compare only models that predict the same labels. Where
    nothing can be compared, no version becomes champion, and the run says so. A contrastive objective has its own ones,
    `valid/hard_perplexity`, `valid/soft_perplexity` and `valid/identical_negatives`: its loss is best where it learns
    nothing. `labels/pnmi` says how good the teacher's
    labels are, so it makes no version champion. `SUITE/EVALUATION/FIGURE`, such as `superb/ks/accuracy`, is a figure of
    the recipe's `evaluate`: test examples of both models are compared in pairs, always with an interval. Figures that
    are: accuracy, WER, CER, PER, slot-type F1, slot-value CER, BLEU, DER, EER, minDCF, MTWV, ATWV, PESQ, STOI, SI-SDR.
    Change: name one metric to compare by it alone, for example to ask for a least improvement.
    """

    higher_is_better: bool | None = None
    """True for accuracy and PNMI, false for the loss. Not given: as the metric wants it.

    Change: never; recipes of before have it.
    """

    min_improvement: NonNegative = 0.0
    """The new version must be better by at least this much.

    Unit: as the metric, so name one metric if you give it.
    Change: raise it above the differences that seeds make.
    """

    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Compare both versions anew on the held-out utterances of today, with a two-sided interval of this confidence.

    The new version becomes champion if the whole interval of its gain is above 0. Not given: 0.95 in a recipe that
    takes a model by an alias, as a weekly loop does; any other compares the figures that both were registered with.
    The interval is a paired bootstrap: Bisani and Ney 2004, over whole speakers (Liu and Peng 2020) where there are
    20 or more.
    Change: 0.8 where few utterances are held out, 0.99 where a wrong champion is dear.
    """

    max_utterances: Annotated[int, Field(ge=2)] = 1000
    """Validation metrics are compared with an interval on at most this many held-out utterances, chosen by their keys.

    Unit: utterances. `probe.max_utterances` is the limit for `probe/...`.
    Change: more for a narrower interval; both networks compute them all.
    """

    @model_validator(mode="after")
    def _check_direction(self) -> GateSpec:
        if self.metric == "auto" and (self.min_improvement or self.higher_is_better is not None):
            raise FieldError(
                "higher_is_better and min_improvement belong to one metric: name it, as in metric: probe/pnmi",
                "min_improvement" if self.min_improvement else "higher_is_better",
            )
        if is_of_task(self.metric) and self.higher_is_better is not None:
            raise FieldError(
                f"the evaluation says whether {self.metric} is better when it is higher", "higher_is_better"
            )
        if self.confidence is not None and self.metric in WHOLE:
            raise FieldError(
                f"{self.metric} is of all held-out speech together, so it has no interval: leave it out", "confidence"
            )
        wanted = self.metric not in LOWER_IS_BETTER
        if self.higher_is_better not in (None, wanted):
            raise FieldError(
                f"{self.metric} is better when it is {'higher' if wanted else 'lower'}", "higher_is_better"
            )
        return self


def explain_ungated(metric: str, objective: Objective) -> str:
    """Why a gate may not compare a validation metric of models with this objective; empty if it may."""
    if not metric.startswith("valid/") or metric in objective.gated:
        return ""
    listed = ", ".join(objective.gated)
    if metric in MaskedPrediction.gated:
        return f"{metric} is best where a {objective.type} objective learns nothing; expected {listed} or probe/..."
    return f"a {objective.type} objective has no {metric}; expected {listed} or probe/..."


def explain_unmeasured(metric: str, suite: SuiteSpec | None) -> str:
    """Why a suite does not give the figure of an evaluation that a gate compares; empty if it may."""
    known = {f"{suite.name}/{it.name.removeprefix(f'{suite.name}-')}/": it for it in suite.evaluations} if suite else {}
    if not is_of_task(metric):
        return ""
    folder, _, figure = metric.rpartition("/")
    if (found := known.get(f"{folder}/")) is not None:
        return _explain_uncompared(metric, figure, found)
    there_is = ", ".join(f"{item}..." for item in known) or "no suite"
    return f"gate.metric is {metric}, which `evaluate` does not measure: there is {there_is}"


def _explain_uncompared(metric: str, figure: str, evaluation: EvaluationSpec) -> str:
    """Why a figure is not compared in pairs; empty if it may be."""
    if figure not in COMPARED:
        return f"gate.metric is {metric}, found {figure!r}; figures that are compared in pairs: {', '.join(COMPARED)}"
    task = evaluation.task
    if isinstance(task, SpeakerVerification) and task.scoring is not None:
        return (
            f"gate.metric is {metric}, whose `scoring` learns from training voices; embeddings of the test part alone "
            "do not give it again: compare by an evaluation without `scoring`"
        )
    return ""
