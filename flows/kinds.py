"""The kinds of artifacts, as the choices of a command, a form or a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from wavlm.artifacts import Artifact, lineage

Kind = Literal[
    "corpus",
    "shards",
    "codebook",
    "labels",
    "mixtures",
    "pretrain",
    "scores",
    "export",
    "register",
]


def needed(artifacts: Sequence[Artifact], until: Kind | None) -> tuple[Artifact, ...]:
    """What has to exist for all artifacts of kind `until`; everything if that is None."""
    if until is None:
        return tuple(artifacts)
    return tuple(lineage(item for item in artifacts if item.kind == until))
