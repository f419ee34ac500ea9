"""Make simulated conversations, and pack them as a labelled corpus."""

from __future__ import annotations

from pathlib import Path

from tasks.orchestration.stage import make_stage, stage_task
from wavlm.execution.progress import Progress
from wavlm.execution.runtime import Runtime
from wavlm.mixing.conversations.facts import SimulationFacts
from wavlm.pipeline.artifacts import Simulation
from wavlm.pipeline.store import Store


@stage_task
def simulation(artifact: Simulation, store: Store, runtime: Runtime) -> Path:
    """The folder of conversations: a corpus, its shards, and a few to listen to."""

    def build(out: Path, progress: Progress) -> SimulationFacts:
        from wavlm.mixing.conversations.build import Folders
        from wavlm.mixing.conversations.stored import build_stored

        folders = Folders(
            {item.corpus.name: store.path(item) for item in artifact.speech},
            [store.path(item) for item in artifact.noise],
            [store.path(item) for item in artifact.rooms],
            [item.key for item in (*artifact.speech, *artifact.noise, *artifact.rooms)],
        )
        return build_stored(artifact.spec, folders, out, runtime.workers, progress)

    return make_stage(artifact, store, runtime, build)
