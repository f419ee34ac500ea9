"""Sealed folders of all kinds, tiny, and what reads each of their files: for tests that damage them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.mini_shards import tones, write_shards
from tests.sealed import seal
from tests.shards.corpora import SPEC, noise_clip, write_corpus
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.evaluation.facts import read_scores
from wavlm.evaluation.scores import build_scores
from wavlm.execution import metrics
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.export import build_export, load
from wavlm.export.card import Card
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.loader.validation import validation_batches
from wavlm.mixing.build import build_mixtures
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.curves import read_points
from wavlm.shards import build_shards, stream
from wavlm.specs import CodebookSpec, HiddenFeatures, MfccFeatures, MixSpec, MixturesSpec, ScoresSpec
from wavlm.train.facts import TrainingFacts, read_training, write_training

CARD = Card(name="tiny", key="0", origins=(), lineage=(), numbers={}, has_start=False, samples=())
LOCAL_PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
MFCC, HIDDEN = MfccFeatures(type="mfcc"), HiddenFeatures(type="hidden", layer=2)
BOOK = CodebookSpec(features=MFCC, num_clusters=6, iterations=3, sample_frames_per_cluster=40)
SCORES = ScoresSpec(num_clusters=4, max_utterances=6)
FIXED = MixturesSpec(num_utterances=4, max_seconds=1.0)
MIX = MixSpec(name="test", probability=0.5)


@dataclass(frozen=True)
class Chain:
    """Sealed folders of all kinds, tiny, each made from those before."""

    root: Path

    def __getattr__(self, name: str) -> Path:
        return self.root / name

    def job(self, out: Path, *, mixtures: bool = False) -> TrainJob:
        return TrainJob(
            key="0", out=out, network=tiny_network(), num_clusters=6,
            train=tiny_training(max_crop_seconds=0.4, batch_seconds=2.0, group_seconds=2.0, mask={"length": 2}),
            data=(LabelledShards(shards=self.shards, labels=self.labels),),
            mix=MIX, mixtures=self.mixtures if mixtures else None,
            runtime=Runtime(workers=0),  # loaders that are dropped in the middle of an epoch take seconds to end
        )  # fmt: skip


@contextmanager
def no_pictures() -> Iterator[None]:
    """Spectrograms and WAV files to listen to take seconds, and nothing reads them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavlm.mixing.build.write_pair", lambda *_: None)
        patch.setattr("wavlm.mixing.build.write_readme", lambda *_: None)
        yield


def write_chain(root: Path) -> Chain:
    """Make them all below a folder."""
    made = Chain(root)
    clips = [noise_clip(f"a-{number}", 0.6 + number / 10) for number in range(3)]
    write_corpus(made.corpus, clips)
    write_shards(made.shards, tones(7) + tones(4, seed=1, split="valid"))
    for folder in (made.codebook, made.labels, made.mixtures, made.scores, made.export):
        folder.mkdir()
    seal(made.corpus)
    seal(made.shards)
    build_codebook(BOOK, {"tones": made.shards}, None, made.codebook, LOCAL_PLAN)
    seal(made.codebook)
    build_labels(made.codebook, MFCC, made.shards, None, made.labels, LOCAL_PLAN)
    shutil.rmtree(made.labels / "quality")
    for note in made.labels.glob(".*.sha256"):
        note.unlink()
    seal(made.labels)
    build_mixtures(FIXED, MIX, [made.shards], [], [], made.mixtures)
    seal(made.mixtures)
    torch.manual_seed(0)
    save_model(WavLM(tiny_network(), num_clusters=6), made.pretrain)
    metrics.append(made.pretrain / metrics.METRICS_FILE, {"update": 3, "valid/loss": 2.0, "time_unix": 1.0})
    facts = TrainingFacts(
        key="0", updates=3, epochs=1, skipped_updates=0, audio_seconds=1.0, wall_seconds=1.0, parameters=1,
        processes=1, device="cpu", torch="2",
    )  # fmt: skip
    write_training(made.job(made.pretrain), facts)
    seal(made.pretrain)
    build_scores(SCORES, made.pretrain, {"ab": made.shards}, ["ab"], made.scores)
    seal(made.scores)
    build_export(made.pretrain, CARD, made.export)
    seal(made.export)
    return made


def contents(folder: Path) -> str:
    """A digest of all files of a folder but those whose bytes hold times."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()


def batches_of(job: TrainJob, count: int = 4) -> str:
    """A digest of the first batches of a training, and of those that it is validated on."""
    whole = hashlib.sha256()
    found = [*islice(loader(job, SamplerState()), count), *validation_batches(job, "clean")]
    for packed in [*found, *(validation_batches(job, "mixed") if job.mixtures else ())]:
        batch = packed.to(torch.device("cpu"))
        for tensor in (batch.waveforms, batch.labels):
            whole.update(tensor.numpy().tobytes())
    return whole.hexdigest()


def make(stage: Callable[[Path], object]) -> Callable[[Path], str]:
    """A stage that fills a folder, as a function of that folder to what it holds."""

    def run(out: Path) -> str:
        out.mkdir()
        stage(out)
        return contents(out)

    return run


# What reads the files of each kind, as a function of an empty path to a digest of all that comes of it.
Consumer = Callable[[Chain, Path], str]
SHARDS: Consumer = lambda c, out: make(lambda o: build_shards(SPEC, c.corpus, o, 1, no_progress))(out)  # noqa: E731
CODEBOOK: Consumer = lambda c, out: make(  # noqa: E731
    lambda o: build_codebook(BOOK, {"tones": c.shards}, None, o, LOCAL_PLAN)
)(out)
LABELS: Consumer = lambda c, out: make(  # noqa: E731
    lambda o: build_labels(c.codebook, MFCC, c.shards, None, o, LOCAL_PLAN)
)(out)
TEACHER: Consumer = lambda c, out: make(  # noqa: E731
    lambda o: build_codebook(
        BOOK.model_copy(update={"features": HIDDEN}), {"tones": c.shards}, c.pretrain, o, LOCAL_PLAN
    )
)(out)
MIXTURES: Consumer = lambda c, out: make(lambda o: build_mixtures(FIXED, MIX, [c.shards], [], [], o))(out)  # noqa: E731
SCORING: Consumer = lambda c, out: make(lambda o: build_scores(SCORES, c.pretrain, {"ab": c.shards}, ["ab"], o))(out)  # noqa: E731
EXPORT: Consumer = lambda c, out: make(lambda o: build_export(c.pretrain, CARD, o))(out)  # noqa: E731
TRAINING: Consumer = lambda c, out: batches_of(c.job(out))  # noqa: E731
VALIDATION: Consumer = lambda c, out: batches_of(c.job(out, mixtures=True), 1)  # noqa: E731
SUMMARY: Consumer = lambda c, _: f"{read_points(c.pretrain)} {read_training(c.pretrain)}"  # noqa: E731
LOAD: Consumer = lambda c, out: make(lambda o: save_model(load(c.export / "hf"), o))(out)  # noqa: E731
READING: Consumer = lambda c, _: repr(read_scores(c.scores))  # noqa: E731
STREAM: Consumer = lambda c, _: repr(  # noqa: E731
    [(item.key, item.phones, item.waveform.tobytes()) for tar in sorted(c.shards.glob("*.tar")) for item in stream(tar)]
)

# Each file, the stages that read it, and how often each is tried with each kind of damage.
CASES = [
    ("corpus/manifest.parquet", SHARDS, 3),
    ("corpus/audio/a-1.wav", SHARDS, 3),
    *(("shards/index.parquet", use, 2) for use in (CODEBOOK, TRAINING, MIXTURES)),
    *(("shards/shards.json", use, 2) for use in (LABELS, TRAINING, SCORING)),
    *(("shards/train-000000.tar", use, 5) for use in (CODEBOOK, LABELS, TRAINING, STREAM, SCORING)),
    ("shards/valid-000000.tar", MIXTURES, 5),
    *(("codebook/" + name, LABELS, 3) for name in ("codebook.json", "centroids.npy")),
    *(("labels/" + name, TRAINING, 3) for name in ("labels.json", "train-000000.parquet", "valid-000000.parquet")),
    *((f"mixtures/{name}", VALIDATION, 3) for name in ("mixtures.tsv", "index.parquet", "mixed-000000.tar")),
    *((f"pretrain/{name}", use, 2) for name in ("model.safetensors", "network.json") for use in (SCORING, EXPORT)),
    ("pretrain/model.safetensors", TEACHER, 3),
    *((f"pretrain/{name}", SUMMARY, 4) for name in ("metrics.jsonl", "training.json")),
    *((f"export/hf/{name}", LOAD, 2) for name in ("model.safetensors", "config.json", "pretraining_head.safetensors")),
    ("scores/scores.json", READING, 4),
]
# The bytes between members and those behind the last one mean nothing, and no reader looks at them.
HARMLESS = (".tar",)
