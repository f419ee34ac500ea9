"""What an evaluation reads of a store: folders of labelled corpora, and what is evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from wavlm.evaluation.examples import Take
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.heard import digests_of, find_heard
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.run import Inputs
from wavlm.mixing.conversations.places import corpus_of, shards_of
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE
from wavlm.pipeline.artifacts import Artifact, Corpus, Evaluation, Model, lineage
from wavlm.pipeline.store import Store
from wavlm.pipeline.training_data import describe_training
from wavlm.specs.identity import canonical, key_of
from wavlm.storage.seals import sha256_as_sealed


def find_inputs(artifact: Evaluation, store: Store) -> Inputs:
    """The folders that an evaluation reads."""
    shards = (*artifact.shards, *artifact.noise)
    # Copies stay in one set of a split of single examples, and mixtures are made of noise that is in one set alone.
    asks_for_copies = artifact.spec.split.type == "examples"
    labelled = tuple(
        LabelledCorpus(
            *(item.name, store.path(item.corpus), store.path(item), number),
            has_content=asks_for_copies or number >= len(artifact.shards),
        )
        for number, item in enumerate(shards)
    )
    packed = {item.key: store.path(item) for item in shards}
    corpora = labelled[: len(artifact.shards)]
    if artifact.simulation is not None:
        folder = store.path(artifact.simulation)
        packed[artifact.simulation.key] = shards_of(folder)
        corpora += (LabelledCorpus(artifact.simulation.name, corpus_of(folder), shards_of(folder), len(labelled)),)
    subject = artifact.subject
    if isinstance(subject, Artifact):
        folder = store.path(subject)
        # Not by key: a model that was made again, on another processor say, may have other weights under its key. And
        # the same weights have other features at another sample rate.
        weights, network = (sha256_as_sealed(folder / name) for name in (WEIGHTS_FILE, NETWORK_FILE))
        found = Subject(key_of([weights, network]), model_dir=folder)
    else:
        found = Subject(key_of(canonical(subject)), baseline=subject)
    return Inputs(
        corpora=corpora,
        noise=labelled[len(artifact.shards) :],
        shards=packed,
        subject=found,
        subject_name=artifact.subject_name,
        notes=tuple(filter(None, [describe_training(artifact, store)])),
        heard=_find_heard(labelled[: len(artifact.shards)], artifact, store),
    )


def _find_heard(labelled: Sequence[LabelledCorpus], artifact: Evaluation, store: Store) -> frozenset[Take]:
    """The recordings that the model, or a teacher of it, was trained on: files with the same bytes.

    Of a model from elsewhere only names of corpora are known (`describe_training`), and nothing of corpora that are no
    longer in the store.
    """
    if not isinstance(artifact.subject, Model):
        return frozenset()
    trained = [it for it in lineage([artifact.subject]) if isinstance(it, Corpus) and it.spec.role == "speech"]
    digests = {it for corpus in trained if store.is_complete(corpus) for it in digests_of(store.path(corpus))}
    return find_heard(labelled, digests)
