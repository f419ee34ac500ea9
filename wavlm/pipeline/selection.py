"""Parts of a plan: the artifacts of one stage, iteration or corpus, and what has to exist for a stage."""

from __future__ import annotations

from collections.abc import Sequence

from wavlm.errors import UsageError
from wavlm.pipeline.artifacts import (
    KINDS,
    Artifact,
    Corpus,
    Evaluation,
    Export,
    Finetune,
    ImportedModel,
    Labels,
    Model,
    Registration,
    Scores,
    Shards,
    build_order,
    keep_latest,
)
from wavlm.pipeline.plan import models
from wavlm.pipeline.stages import EVALUATE, StageName, kinds_of
from wavlm.specs.lookup import suggest


def corpora(artifact: Artifact) -> tuple[str, ...]:
    """Names of the corpora that an artifact is about: its own, or those of its shards."""
    if isinstance(artifact, Corpus):
        return (artifact.name,)
    if isinstance(artifact, Shards):
        return (artifact.corpus.name,)
    if isinstance(artifact, Labels):
        return (artifact.shards.corpus.name,)
    return ()


def select(
    artifacts: Sequence[Artifact],
    kind: str,
    iteration: int | None = None,
    corpus: str | None = None,
) -> tuple[Artifact, ...]:
    """The artifacts of one stage, narrowed by iteration and corpus.

    Of a corpus that has grown, only the last generation. An iteration has its model, what is made from it, and the
    codebook, labels, mixtures and models from elsewhere that it uses. Two iterations may share a codebook and labels:
    then both have them.
    Raises UsageError (NOTHING_FITS) that lists what there is if nothing fits.
    """
    kinds = kinds_of(kind)
    of_kind = [item for item in keep_latest(artifacts) if item.kind in kinds]
    found = tuple(
        item
        for item in of_kind
        if (iteration is None or iteration in _places(item, artifacts)) and (corpus is None or corpus in corpora(item))
    )
    if not found:
        raise _explain_nothing(of_kind, kind, iteration, corpus)
    return found


def _explain_nothing(of_kind: Sequence[Artifact], kind: str, iteration: int | None, corpus: str | None) -> UsageError:
    names = sorted({name for item in of_kind for name in corpora(item)})
    wanted = f"no {kind}"
    wanted += f" of iteration {iteration}" if iteration is not None else ""
    wanted += f" of the corpus {corpus}" if corpus is not None else ""
    there_is = ", ".join(str(item) for item in of_kind) or "none of this kind"
    advice = suggest(corpus, names) if corpus is not None and corpus not in names else ""
    return UsageError(
        "NOTHING_FITS", f"{wanted}, there is: {there_is}; in this recipe; {advice or 'choose one of these'}"
    )


def select_needed(artifacts: Sequence[Artifact], until: StageName | None) -> tuple[Artifact, ...]:
    """What has to exist for all artifacts of kind `until`; everything if that is None.

    Of a kind that comes before the first training only those that need no training: of labels, not those of a teacher.
    Registrations need the scores that the recipe asks for, too: the gate judges by them. Models from elsewhere come
    first, as in a plan.
    """
    if until is None:
        return tuple(artifacts)
    kinds = (*kinds_of(EVALUATE), until) if until == Registration.kind else kinds_of(until)
    chosen = [item for item in artifacts if item.kind in kinds]
    if until in KINDS[: KINDS.index("pretrain")]:
        chosen = [item for item in chosen if not any(isinstance(part, Model) for part in build_order([item]))]
    needed = list(build_order(chosen))
    return tuple(build_order([*(item for item in needed if isinstance(item, ImportedModel)), *needed]))


def first_iteration(artifact: Artifact, artifacts: Sequence[Artifact]) -> int | None:
    """The first iteration of a plan that an artifact belongs to; None for corpora, shards and models from elsewhere."""
    return min(_places(artifact, artifacts), default=None)


def _places(artifact: Artifact, artifacts: Sequence[Artifact]) -> set[int]:
    """The iterations of a plan that an artifact belongs to; none for corpora and shards, which all of them share."""
    if isinstance(artifact, Scores | Export | Registration):
        return {artifact.model.iteration}
    if isinstance(artifact, Evaluation | Finetune):
        subject = artifact.stands_on if isinstance(artifact, Finetune) else artifact.subject
        return {subject.iteration} if isinstance(subject, Model) else set()
    found = set()
    for model in models(artifacts):
        teacher, start = model.codebook and model.codebook.teacher, model.start
        imported = [item for item in (teacher, start) if isinstance(item, ImportedModel)]
        used = (model, model.codebook, model.mixtures, *model.labels, *imported)
        if artifact.key in {item.key for item in used if item}:
            found.add(model.iteration)
    return found
