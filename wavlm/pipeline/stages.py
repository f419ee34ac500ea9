"""Names of stages on the command line and in forms: kinds of artifacts, and `evaluate` for all that scores a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from wavlm.pipeline.artifacts import (
    Artifact,
    Corpus,
    Evaluation,
    ImportedModel,
    Kind,
    Scores,
    Shards,
    Simulation,
    build_order,
)

StageName: TypeAlias = Literal[Kind, "evaluate"]
EVALUATE = "evaluate"


def kinds_of(stage: str) -> tuple[str, ...]:
    """The kinds of artifacts that a stage makes: fast metrics and tasks for `evaluate`, else the one of this name."""
    return (Scores.kind, Evaluation.kind) if stage == EVALUATE else (stage,)


def with_labelled_corpora(chosen: Sequence[Artifact]) -> Iterator[Artifact]:
    """The artifacts, and before each evaluation what it needs beside a model that is trained here."""
    for item in chosen:
        if isinstance(item, Evaluation):
            data = [*item.shards, *item.noise, *([item.simulation] if item.simulation else [])]
            yield from (one for one in build_order(data) if isinstance(one, Corpus | Shards | Simulation))
            if isinstance(item.subject, ImportedModel):
                yield item.subject
        yield item
