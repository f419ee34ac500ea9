"""The end of a fine-tuning: one look at the test part, and the files of the system."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import JsonValue

from wavlm.evaluation.describe import Tested, amount_of, figures_of
from wavlm.evaluation.examples import Example
from wavlm.evaluation.fit.search import Searched
from wavlm.evaluation.outputs import write_predictions
from wavlm.evaluation.results.facts import EvaluationFacts, results_path
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.task import Calibrates, DecodesTest, KeptScorer, Remembers, Scorer, Settles
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.finetune.candidates import remove_candidates
from wavlm.finetune.data import TrainingData
from wavlm.finetune.facts import (
    HEAD_WEIGHTS_FILE,
    PREDICTIONS_FILE,
    SCORING_FILE,
    FinetuneFacts,
    HeadFile,
    StageFacts,
    write_finetune,
    write_head,
)
from wavlm.finetune.heard import say_heard
from wavlm.finetune.scoring import Look, predict_all
from wavlm.finetune.start_head import find_anew
from wavlm.finetune.state import TuningProgress
from wavlm.finetune.step import StageRun
from wavlm.nn import save_model
from wavlm.nn.files import save_tensors
from wavlm.specs.finetune import FinetuneSpec
from wavlm.storage.files import write_json


def score_system(data: TrainingData, run: StageRun, look: Look) -> Tested:
    """The predictions on the test part, with what predictions on other parts decide. Raises LookStoppedError."""
    split, trainee = data.split, run.trainee

    def predict(examples: Sequence[Example]) -> list[JsonValue]:
        return predict_all(run.system, trainee, examples, look)

    tested = trainee.for_test() if isinstance(trainee, DecodesTest) else trainee
    found = predict_all(run.system, tested, split.test, look)
    if isinstance(trainee, Settles):
        found = trainee.settle(split.dev, predict(split.dev), found)
    scorers: tuple[Scorer, ...] = ()
    if isinstance(trainee, Calibrates) and (wanted := trainee.calibrate_on(split.train, split.dev)):
        scorers = (trainee.calibrate(wanted, predict(wanted)),)
    nothing = Searched(None, (), (), is_at_edge=False)
    return Tested(split, nothing, trainee, (found,), np.zeros(1), scorers=scorers)


def write_system(job: FinetuneJob, run: StageRun, progress: TuningProgress, tested: Tested) -> None:
    """Write all files of the system; finetune.json last."""
    results = describe_test(job.spec, tested)
    notes = (*job.notes, *say_heard(job, tested.split.test), *_notes_of_start(job, run), *results.notes)
    results = results.model_copy(update={"notes": notes})
    if run.system.network is not None:
        network = run.system.network
        network.network = network.network.model_copy(update={"layer_drop": run.layer_drop})
        save_model(network, job.out)
    save_tensors(dict(run.system.head.state_dict()), job.out / HEAD_WEIGHTS_FILE, {})
    for scorer in tested.scorers:
        if isinstance(scorer, KeptScorer):
            scorer.save(job.out / SCORING_FILE)
    write_head(job.out, _describe_head(job, run))
    write_predictions(job.out / PREDICTIONS_FILE, [tested])
    write_json(results_path(job.out), results.model_dump(mode="json"))
    write_finetune(job.out, _describe(job, run, progress, results))
    remove_candidates(job.out)


def describe_test(spec: FinetuneSpec, tested: Tested) -> EvaluationFacts:
    """The results of a system, as those of an evaluation: the system is the row, its task on its data the column."""
    split: Split = tested.split
    simulated = (spec.simulation.name,) if spec.simulation else ()
    corpora = "-".join((*(corpus.name for corpus in spec.corpora), *simulated))
    return EvaluationFacts(
        evaluation=f"{spec.task.type}-{corpora}",
        task=spec.task.type,
        subject=spec.name,
        reality=spec.reality,
        protocol=spec.protocol,
        figures=figures_of([tested]),
        train=amount_of(split.train),
        dev=amount_of(split.dev),
        test=amount_of(split.test),
        was_cut=spec.max_utterances is not None,
        notes=tuple(_notes(spec, split)),
    )


def _notes(spec: FinetuneSpec, split: Split) -> list[str]:
    notes = []
    if spec.split.type == "examples":
        notes.append("The same speakers and recording conditions are in all parts, so a part of a score may be theirs.")
    if split.num_short:
        notes.append(
            f"{split.num_short} recordings of the train part are too short to be trained on, and were left out."
        )
    return notes


def _notes_of_start(job: FinetuneJob, run: StageRun) -> list[str]:
    if job.head is None:
        return []
    anew = find_anew(job, run.trainee, run.size)
    said = f", apart from {', '.join(anew)}, which began anew because the classes are others" if anew else ""
    return [f"Training went on from {job.subject_name}, network and head{said}."]


def _describe_head(job: FinetuneJob, run: StageRun) -> HeadFile:
    spec, trainee = job.spec, run.trainee
    return HeadFile(
        name=spec.name,
        task=spec.task,
        head=spec.head_in(run.number),
        learned=trainee.learned if isinstance(trainee, Remembers) else None,
        can_be_recalled=isinstance(trainee, Remembers),
        baseline=None if run.system.network is not None else spec.baseline,
        num_states=run.size.num_states,
        num_channels=run.size.num_channels,
        hop_samples=run.size.hop_samples,
    )


def _describe(job: FinetuneJob, run: StageRun, progress: TuningProgress, results: EvaluationFacts) -> FinetuneFacts:
    stages = zip(job.spec.stages, progress.chosen, progress.bests, strict=True)
    head = sum(parameter.numel() for parameter in run.system.head.parameters())
    network = run.system.network
    return FinetuneFacts(
        key=job.key,
        subject=job.subject_name,
        stages=tuple(StageFacts(updates=spec.updates, kept=kept, dev=best) for spec, kept, best in stages),
        updates=progress.updates,
        skipped_updates=progress.skipped_updates,
        epochs=progress.epochs,
        audio_seconds=progress.audio_seconds,
        wall_seconds=progress.wall_seconds,
        parameters=head + (sum(parameter.numel() for parameter in network.parameters()) if network else 0),
        head_parameters=head,
        processes=run.ranks.world,
        device=run.ranks.device.type,
        torch=torch.__version__,
        results=results,
    )
