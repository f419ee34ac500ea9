"""What an evaluation reads of a store: folders of labelled corpora, and what is evaluated."""

from __future__ import annotations

from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.run import Inputs
from wavlm.pipeline.artifacts import Artifact, Evaluation
from wavlm.pipeline.store import Store
from wavlm.specs.identity import canonical, key_of


def find_inputs(artifact: Evaluation, store: Store) -> Inputs:
    """The folders that an evaluation reads."""
    shards = (*artifact.shards, *artifact.noise)
    labelled = tuple(
        LabelledCorpus(item.name, store.path(item.corpus), store.path(item), number)
        for number, item in enumerate(shards)
    )
    subject = artifact.subject
    if isinstance(subject, Artifact):
        found = Subject(subject.key, model_dir=store.path(subject))
    else:
        found = Subject(key_of(canonical(subject)), baseline=subject)
    return Inputs(
        corpora=labelled[: len(artifact.shards)],
        noise=labelled[len(artifact.shards) :],
        shards={item.key: store.path(item) for item in shards},
        subject=found,
        subject_name=artifact.subject_name,
    )
