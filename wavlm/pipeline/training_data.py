"""What a model from elsewhere was trained on, as far as its publisher or its card says it: a note on figures."""

from __future__ import annotations

from wavlm.export.facts import ModelFacts
from wavlm.pipeline.artifacts import Evaluation, ImportedModel
from wavlm.pipeline.store import Store


def describe_training(artifact: Evaluation, store: Store) -> str:
    """A sentence for a reader of the figures; empty for models of this store, and where other corpora are named."""
    subject = artifact.subject
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
