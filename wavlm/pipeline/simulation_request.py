"""A recipe that makes the shards of a simulation, written into the store: what `wavlm simulate` runs first.

It is a recipe as any other, which is run until its shards are there. So it is checked, resolved and continued as any
other.
"""

from __future__ import annotations

import json
from pathlib import Path

from wavlm.mixing.conversations.build import Folders
from wavlm.pipeline.artifacts import Artifact, Shards
from wavlm.pipeline.request import FOLDER
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec
from wavlm.specs.simulation import SimulationSpec
from wavlm.storage.files import write_text


def write_sources(spec: SimulationSpec, store: Store) -> Path:
    """Write the recipe; return its path. The same simulation gives the same file."""
    corpora = (*spec.corpora, *spec.noise, *spec.rooms)
    evaluation = {
        "name": "sources",
        "description": "Is not run: it names the corpora.",
        "task": {"type": "sid"},
        "corpora": [it.model_dump(mode="json") for it in dict.fromkeys(corpora)],
        "shards": spec.shards.model_dump(mode="json"),
        "split": {"type": "parts", "train": ["a"], "dev": ["b"], "test": ["c"]},
        "head": {"type": "pooled_linear"},
        "fit": {"learning_rates": [1.0], "updates": 1, "batch": 1, "dev_every": 1},
    }
    fields = {
        "name": f"simulate-{spec.name}"[:64],
        "description": f"Makes the shards that the simulation {spec.name} is made of.",
        "registry_name": "unused",
        "shards": spec.shards.model_dump(mode="json"),
        "evaluate": {
            "name": "sources",
            "description": "Is not run: it names the corpora.",
            "evaluations": [evaluation],
            "baselines": [{"type": "fbank"}],
        },
    }
    path = store.root / FOLDER / f"{fields['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    return path


def find_folders(spec: SimulationSpec, artifacts: tuple[Artifact, ...], store: Store) -> Folders:
    """The shards folders of a simulation among the artifacts of its recipe, which have to be complete."""
    shards = {item.corpus.name: item for item in artifacts if isinstance(item, Shards)}
    for item in shards.values():
        store.require(item)

    def places(corpora: tuple[CorpusSpec, ...]) -> tuple[Path, ...]:
        return tuple(store.path(shards[it.name]) for it in corpora)

    return Folders(
        {it.name: store.path(shards[it.name]) for it in spec.corpora},
        places(spec.noise),
        places(spec.rooms),
        tuple(shards[it.name].key for it in (*spec.corpora, *spec.noise, *spec.rooms)),
    )
