"""The simulation stage: conversations, packed as a labelled corpus that trainings and evaluations read.

| in the folder | |
|---|---|
| `talks/` | what `wavlm simulate` makes (`build`), without its audio: turns, what to listen to, tracks if asked for |
| `corpus/` | the manifest of the conversations, with their turns |
| `shards/` | their audio |

The audio of the conversations is not kept twice: once all are packed, the single files go.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from wavlm.corpus.build import build_corpus
from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.mixing.conversations.build import BEGUN, FACTS, Folders, build_conversations, read_corpus_spec
from wavlm.mixing.conversations.facts import SimulationFacts
from wavlm.mixing.conversations.places import corpus_of, shards_of
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.labelling import ShardSpec
from wavlm.specs.simulation import SimulationSpec
from wavlm.storage.facts import read_facts
from wavlm.storage.files import write_json

PACKED_FILE = "packed.json"  # beside the folders; written once all conversations are packed
WHOLE = ShardSpec(min_seconds=0.1, max_seconds=36_000.0, max_rejected=0.0)  # as they are: nothing is cut or left out


def build_stored(
    spec: SimulationSpec, folders: Folders, out: Path, workers: int = 1, progress: Progress = no_progress
) -> SimulationFacts:
    """Fill `out`; what an attempt before has left is gone on with. The same spec and shards give the same bytes.

    Raises what `build_conversations`, `build_corpus` and `build_shards` raise.
    """
    talks = out / "talks"
    if not (out / PACKED_FILE).exists():
        facts = build_conversations(spec, folders, talks, workers, progress)
        count = sum(part.conversations for part in (facts.train, facts.dev, facts.test) if part is not None)
        _pack(talks, out, count, workers)
        write_json(out / PACKED_FILE, {"conversations": count})
    for part in (talks / "corpus").iterdir():
        if part.is_dir():
            shutil.rmtree(part)
    for path in (talks / f"{spec.name}.yaml", talks / BEGUN):
        path.unlink(missing_ok=True)
    return read_facts(talks / FACTS, SimulationFacts)


def _pack(talks: Path, out: Path, count: int, workers: int) -> None:
    """Make the corpus and its shards from the folder of conversations. What is half made is made anew."""
    corpus = read_corpus_spec(talks)
    root = talks / "corpus"
    shutil.rmtree(corpus_of(out), ignore_errors=True)
    build_corpus(corpus, talks, corpus_of(out), no_progress, workers=workers)
    intake = Intake(corpus.channels, corpus.role, root=root)
    packed = build_shards(WHOLE, corpus_of(out), shards_of(out), workers, no_progress, intake)
    if packed.recordings_used != count:
        raise BadDataError(
            "SPLIT_EMPTY",
            f"{packed.recordings_used} conversations were packed, expected {count}; at {out}; move the folder away, "
            "then run again",
        )
