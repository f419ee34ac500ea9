"""Rows of systems that need no training of their own: windows embedded by the verifier `asv-small`, and clustered.

PLDA and stop are fitted (`wavlm diarize-fit`) on talks made of the voices that the verifier chose its weights by. They
are scored on talks of voices that it has not met, and on the AMI clips. What finds speech is the reference, as in
papers of VBx, so what is compared is the clustering: the trivial answer is all speech as one speaker.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.learn.gains import gain_of_sums
from tests.learn.material import SHARDS, SHARED, corpus_of, prepare
from tests.learn.measure import LEARNERS, Campaign, open_data
from tests.learn.rows import Bounded, LearnRow
from tests.learn.training import key_of, spec_of, today, train, without_training
from wavlm.corpus.build import build_corpus
from wavlm.corpus.layouts.rttm import read_rttm_file, read_uem_file
from wavlm.evaluation.examples import Example
from wavlm.evaluation.metrics.checks import Floats
from wavlm.evaluation.metrics.diarization import Region, Turn, diarization_errors
from wavlm.evaluation.metrics.intervals import interval_of_sums
from wavlm.evaluation.results.facts import Amount
from wavlm.evaluation.tasks.activity import spoken
from wavlm.execution.progress import no_progress
from wavlm.mixing.conversations.build import Folders, build_conversations
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import FolderSource
from wavlm.specs.simulation import SimulationSpec
from wavlm.systems.diarization.diarize import Choice, diarize, open_diarizer
from wavlm.systems.diarization.fit import fit_folder
from wavlm.systems.diarization.windowed import Method

VERIFIER = "asv-small"
TALKS = {"fit": 24, "test": 40}  # conversations
_NAMES: dict[Method, str] = {"cosine": "x-vectors-cosine", "plda": "x-vectors-plda", "vbx": "vbx"}
CLUSTERINGS: dict[str, tuple[Method, str]] = {
    f"{name}-{data}": (method, data) for data in ("talks", "ami") for method, name in _NAMES.items()
}


@dataclass(frozen=True)
class KnownRecording:
    """A recording whose turns are known."""

    path: Path
    turns: Sequence[Turn]
    scored: Sequence[Region]


def measure_clustering(campaign: Campaign, name: str) -> LearnRow:
    """The DER of a method with the trained verifier, with the one that was not trained, and of one speaker."""
    method, where = CLUSTERINGS[name]
    learner = LEARNERS[VERIFIER]
    spec, data = spec_of(VERIFIER, learner.material), prepare(learner.material, campaign.work)
    model = None if spec.baseline else campaign.model
    key = key_of(spec, data, model)
    if (found := campaign.measured(name, key)) is not None:
        return found
    parts = open_data(spec, data).split
    talks = {role: _talks(role, part, campaign.work) for role, part in (("fit", parts.dev), ("test", parts.test))}
    recordings = known_recordings(talks["test"] / "corpus" / "train") if where == "talks" else _clips()
    began, began_cpu_s = time.monotonic(), time.process_time()
    trained, untrained = (
        train(it, data, model, campaign.trainings / f"{VERIFIER}-{key}{end}", campaign.commit).folder
        for it, end in ((spec, ""), (without_training(spec), "-untrained"))
    )
    errors = [_errors(recordings, _fitted(it, talks["fit"]), method) for it in (trained, untrained)]
    errors.append(errors_of(recordings, [[(*it, "all") for it in spoken(one.turns)] for one in recordings]))
    alone = [""] * len(recordings)
    seconds = sum(end_s - start_s for it in recordings for start_s, end_s in it.scored)
    speakers = {turn[2] for it in recordings for turn in it.turns}
    return LearnRow(
        system=name,
        task="sd",
        figure="der",
        unit="%",
        is_lower_better=True,
        trained=rate_of(errors[0]),
        untrained=rate_of(errors[1]),
        baseline=rate_of(errors[2]),
        baseline_name="all speech as one speaker",
        over_untrained=gain_of_sums(errors[0], errors[1], alone, is_lower_better=True),
        over_baseline=gain_of_sums(errors[0], errors[2], alone, is_lower_better=True),
        data="talks of 2 to 4 voices, made of read speech" if where == "talks" else "meetings, AMI",
        reality="simulated" if where == "talks" else "real",
        test=Amount(utterances=len(recordings), speakers=len(speakers), minutes=seconds / 60),
        intervals=f"bootstrap over {len(recordings)} recordings",
        minutes=(time.monotonic() - began) / 60,
        cpu_s=time.process_time() - began_cpu_s,
        key=key,
        commit=campaign.commit,
        date=today(),
    )


def known_recordings(folder: Path, uem: Path | None = None, rttm: Path | None = None) -> list[KnownRecording]:
    """The recordings of a folder; their turns are in an RTTM file beside it, or in the one named."""
    import soundfile

    turns = read_rttm_file(rttm or folder.parent / f"{folder.name}.rttm")
    scored = read_uem_file(uem) if uem else {}
    return [
        KnownRecording(path, turns[path.stem], scored.get(path.stem, [(0.0, float(soundfile.info(path).duration))]))
        for path in sorted(folder.glob("*.flac"))
    ]


def errors_of(recordings: Sequence[KnownRecording], found: Sequence[Sequence[Turn]]) -> Floats:
    """Seconds of errors and of speech of each recording, without a collar: (U, 2)."""
    return np.stack(
        [
            diarization_errors(it.turns, turns, it.scored, collar_each_side_s=0.0).sums
            for it, turns in zip(recordings, found, strict=True)
        ]
    )


def rate_of(errors: Floats) -> Bounded:
    """The DER, with the bootstrap over recordings."""
    interval = interval_of_sums(errors, [""] * len(errors), lambda total: total[:, 0] / total[:, 1])
    return Bounded(value=interval.value, low=interval.low, high=interval.high)


def _errors(recordings: Sequence[KnownRecording], folder: Path, method: Method) -> Floats:
    opened = open_diarizer(folder, Choice(method=method, detector="oracle"))
    return errors_of(recordings, [diarize(it.path, opened, reference=it.turns) for it in recordings])


def _fitted(system: Path, talks: Path) -> Path:
    """A copy of the system with its back-end: the folder of a training stays as it was written."""
    copy = system.parent / f"{system.name}-fitted"
    done = copy.parent / f"{copy.name}.done"
    if not done.exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(system, copy)
        fit_folder(talks / "corpus" / "train", copy)
        done.touch()
    return copy


def _clips() -> list[KnownRecording]:
    folder = SHARED / "eval-data" / "ami"
    return known_recordings(folder, folder / "reference.uem", folder / "reference.rttm")


def _talks(role: str, part: Sequence[Example], work: Path) -> Path:
    """Talks of the voices of one part alone."""
    out, done = work / f"talks-{role}", work / f"talks-{role}.done"
    if not done.exists():
        shutil.rmtree(out, ignore_errors=True)
        voices = sorted({item.speaker for item in part})
        raw = work / f"voices-{role}"
        shutil.rmtree(raw, ignore_errors=True)
        (raw / "speech").mkdir(parents=True)
        for voice in voices:
            (raw / "speech" / voice).symlink_to(SHARED / "corpus" / "speech" / voice)
        shutil.copy(SHARED / "corpus" / "transcripts.tsv", raw)
        source = (FolderSource(type="folder", path=str(raw)),)
        layout = corpus_of("read-speech").layout.model_copy(update={"max_left_over_rows": 1.0})
        corpus = corpus_of("read-speech").model_copy(update={"sources": source, "layout": layout})
        shards = work / f"voices-{role}-shards"
        shutil.rmtree(shards, ignore_errors=True)
        build_corpus(corpus, work / "downloads", work / f"voices-{role}-corpus", no_progress)
        intake = Intake(corpus.channels, corpus.role, root=raw)
        build_shards(SHARDS, work / f"voices-{role}-corpus", shards, 1, no_progress, intake)
        build_conversations(
            _simulation(role, corpus.model_dump(mode="json")), Folders({"read": shards}, keys=(role,)), out
        )
        done.touch()
    return out


def _simulation(role: str, corpus: object) -> SimulationSpec:
    fields = {
        "name": f"talks-{role}",
        "description": "talks of voices that the verifier was not trained on",
        "corpora": [corpus],
        "train": TALKS[role],
        "speakers": [2, 4],
        "utterances": [2, 4],
        "turn_seconds": 4.0,
        "pauses": {"type": "exponential", "mean": 0.5},
    }
    return SimulationSpec.model_validate_json(json.dumps(fields))
