"""Render the small fixed set of mixtures: validation under noise and overlap, with pairs to listen to."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.mixing.facts import MixturesFacts
from wavlm.pipeline.artifacts import Mixtures
from wavlm.pipeline.store import Store


@stage_task
def mixtures(artifact: Mixtures, store: Store, runtime: Runtime) -> Path:
    """The folder of the mixed set, its truth and the pairs to listen to."""

    def build(out: Path, progress: Progress) -> MixturesFacts:
        from wavlm.mixing.build import build_mixtures

        speech, noise, rooms = (
            [store.path(item) for item in items] for items in (artifact.speech, artifact.noise, artifact.rooms)
        )
        return build_mixtures(artifact.spec, artifact.mix, speech, noise, rooms, out, progress, artifact.grid)

    return make_stage(artifact, store, runtime, build)
