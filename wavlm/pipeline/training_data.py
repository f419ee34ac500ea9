"""What a model from elsewhere was trained on, as far as its publisher or its card says it: a note on figures."""

from __future__ import annotations

from wavlm.execution.finetune_job import HeardFolders
from wavlm.export.facts import ModelFacts
from wavlm.pipeline.artifacts import Corpus, Evaluation, Finetune, ImportedModel, Model, lineage
from wavlm.pipeline.store import Store


def describe_training(artifact: Evaluation | Finetune, store: Store) -> str:
    """A sentence for a reader of the figures; empty for models of this store, and where other corpora are named."""
    subject = artifact.stands_on if isinstance(artifact, Finetune) else artifact.subject
    if not isinstance(subject, ImportedModel):
        return ""
    known = subject.spec.trained_on or _listed(subject, store)
    if not known:
        return (
            f"What {subject.name} was trained on is not known here, so it may have been these recordings; `trained_on` "
            "of its model file says it."
        )
    names = [item.corpus.name for item in artifact.shards]
    same = [name for name in names if any(_is_of(name, corpus) for corpus in known)]
    if not same:
        return ""
    return (
        f"{subject.name} was trained on {', '.join(known)}, as its publisher says, and {', '.join(same)} is of that: "
        "on these recordings, or on others of the same corpus."
    )


def _listed(subject: ImportedModel, store: Store) -> tuple[str, ...]:
    """The corpora that its card lists, if it is one of this pipeline's own."""
    origins = store.facts(subject, ModelFacts).origins if store.is_complete(subject) else ()
    return tuple(dict.fromkeys(item.name for item in origins if item.role == "speech"))


def _is_of(name: str, corpus: str) -> bool:
    """Whether a corpus is the other one or a part of it, as `mini-librispeech` is of `librispeech`."""
    return f"-{corpus}-" in f"-{name}-"


def beneath(system: Finetune) -> list[Finetune]:
    """The systems that a system goes on from, the nearest first."""
    found, subject = [], system.subject
    while isinstance(subject, Finetune):
        found.append(subject)
        subject = subject.subject
    return found


def describe_beneath(system: Finetune) -> list[str]:
    """Sentences on corpora of which systems beneath were trained on a part that has no name."""
    names = {item.corpus.name for item in system.shards}
    return [
        f"{item.name} was trained on a part of {', '.join(same)}, too: whether on these recordings is not known, as "
        "its split is not by named parts."
        for item in beneath(system)
        if item.spec.split.type != "parts"
        and item.spec.split != system.spec.split
        and (same := sorted(names & {one.corpus.name for one in item.shards}))
    ]


def find_trained(system: Finetune, store: Store) -> tuple[HeardFolders, ...]:
    """What is known of the recordings that the model and the systems beneath were trained on, and is in the store."""
    model = system.stands_on
    corpora = [it for it in lineage([model] if isinstance(model, Model) else []) if isinstance(it, Corpus)]
    found = [
        HeardFolders(by=model.name, corpus=store.path(it))
        for it in corpora
        if isinstance(model, Model) and it.spec.role == "speech" and store.is_complete(it)
    ]
    for item in beneath(system):
        if item.spec.split.type == "parts":
            there = [it for it in item.shards if store.is_complete(it)]
            found += [
                HeardFolders(
                    by=item.name, corpus=store.path(it.corpus), shards=store.path(it), parts=item.spec.split.train
                )
                for it in there
                if store.is_complete(it.corpus)
            ]
    return tuple(found)
