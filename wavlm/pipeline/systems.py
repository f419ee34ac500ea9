"""What a registered version of a system says of itself: figures, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.finetune.facts import FinetuneFacts
from wavlm.pipeline.artifacts import Artifact, Finetune, ImportedModel, lineage
from wavlm.pipeline.finetunes import is_system
from wavlm.pipeline.store import Store
from wavlm.specs import ModelVersion
from wavlm.specs.identity import canonical, key_of


def figures_of_system(system: Finetune, store: Store) -> dict[str, float]:
    """The figures on the test part as metrics: `test/<figure>`."""
    facts = store.facts(system, FinetuneFacts)
    return {f"test/{figure.name}": figure.value for figure in facts.results.figures}


def tags_of_system(system: Finetune) -> dict[str, str]:
    """What people filter systems by: task, head, what it stands on, and data."""
    spec, subject = system.spec, system.subject
    simulated = (system.simulation,) if system.simulation else ()
    found = {
        "wavlm.key": system.key,
        "wavlm.task": spec.task.type,
        "wavlm.head": spec.head.type,
        "wavlm.system": spec.name,
        "wavlm.corpora": ", ".join(sorted(item.name for item in (*system.shards, *simulated))),
        "start.name": system.subject_name,
    }
    if isinstance(subject, Artifact):
        found["start.key"] = subject.key
    else:
        found["start.key"] = key_of(canonical(subject))
    if isinstance(subject, Artifact) and is_system(subject):
        found["start.system"] = system.subject_name
    if isinstance(subject, ImportedModel) and isinstance(subject.spec.source, ModelVersion):
        found["start.version"] = f"{subject.spec.source.model}:{subject.spec.source.version}"
    return found


def made_from(system: Finetune) -> Iterator[tuple[str, str]]:
    """The keys of all that a system was made from, by `corpus.NAME`, `shards.NAME`, `model.NAME` and so on."""
    for item in lineage([system]):
        if item is not system:
            yield f"{item.kind}.{item.name}", item.key
