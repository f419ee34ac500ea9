"""What a run up to one kind of artifact needs."""

from __future__ import annotations

from collections.abc import Sequence

from wavlm.artifacts import Artifact, Kind, lineage


def needed(artifacts: Sequence[Artifact], until: Kind | None) -> tuple[Artifact, ...]:
    """What has to exist for all artifacts of kind `until`; everything if that is None."""
    if until is None:
        return tuple(artifacts)
    return tuple(lineage(item for item in artifacts if item.kind == until))
