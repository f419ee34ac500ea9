"""What it costs that a stage compares its inputs with their seals before it uses them.

Each stage runs on the same folders with its checks and without them, and makes the same bytes. These stages do the
least with what they read: labels by MFCC, an export, and the first epoch of a training, with the opening of its data.
All others compute more per byte. An export only copies, so it has no goal of its own. Every call is the first of its
run: what it has compared before is forgotten.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from unittest import mock

import torch

from benchmarks.harness import Claim, Figure, compare, find_missing
from benchmarks.jobs import job
from benchmarks.speech import Speech, speech
from benchmarks.workload import BASE
from wavlm.execution.runtime import Runtime
from wavlm.export import build_export
from wavlm.export.card import Card
from wavlm.features.extract import ExtractionPlan
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader, make_sampler
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.record import ArtifactRecord, write_record
from wavlm.pipeline.sealing import list_files
from wavlm.specs import CodebookSpec, MfccFeatures, TrainSpec
from wavlm.storage import seals
from wavlm.storage.files import sha256_of
from wavlm.storage.ledger import SealedFile
from wavlm.storage.seals import RECORD_FILE

PEER = "the same stage without checks"
LABELS = Claim("seals.labels", "% of CPU", PEER, cpu="<= 5", devices=("cpu",))
EXPORT = Claim("seals.export", "% of CPU", PEER, devices=("cpu",))
TRAINING = Claim("seals.training", "% of CPU", PEER, cpu="<= 5", devices=("cpu",))
CLAIMS = (LABELS, EXPORT, TRAINING)
PLAN = ExtractionPlan("cpu", 1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
GROUP_SECONDS = 87.5  # what the paper calls a GPU's batch
ROUNDS = {"seals.labels": 7, "seals.export": 3, "seals.training": 7}

Stage = Callable[[], object]


def main(device: str) -> Iterator[Figure]:  # noqa: ARG001 - hashing is the CPU's work everywhere
    """The share that checks add to each stage's CPU time."""
    if reason := find_missing("faiss", "webdataset", "pyarrow"):
        yield from (claim.skip("cpu", reason) for claim in CLAIMS)
        return
    with speech() as audio:
        seal(audio.shards)
        stages = ((LABELS, _label(audio)), (TRAINING, _train(audio)), (EXPORT, _export(audio)))
        for claim, (stage, what) in stages:
            times = compare({"checked": _first(stage), "bare": _unchecked(_first(stage))}, rounds=ROUNDS[claim.name])
            share = 100 * (times["checked"].median / times["bare"].median - 1)
            yield claim.figure(share, "cpu", f"{times['bare'].median:.2f} s without checks; {what}")


def seal(folder: Path) -> Path:
    """Write a record as the store does, unless there is one, as in given shards; returns the folder."""
    if (folder / RECORD_FILE).is_file():
        return folder
    files = {name: SealedFile(sha256_of(folder / name), (folder / name).stat().st_size) for name in list_files(folder)}
    record = ArtifactRecord(
        identity={}, key="0", inputs=(), facts={}, files=files, versions={}, finished_unix=0.0, seconds=0.0
    )
    write_record(folder, record)
    return folder


def _label(audio: Speech) -> tuple[Stage, str]:
    from wavlm.labels.build import build_labels
    from wavlm.labels.codebook import build_codebook

    codebook = audio.work / "codebook"
    codebook.mkdir()
    features = MfccFeatures(type="mfcc")
    build_codebook(CodebookSpec(features=features, num_clusters=100), {"speech": audio.shards}, None, codebook, PLAN)
    seal(codebook)

    def stage() -> None:
        out = _empty(audio.work / "labels-out")
        build_labels(codebook, features, audio.shards, None, out, PLAN)

    return stage, f"K = 100; {audio.note}"


def _export(audio: Speech) -> tuple[Stage, str]:
    torch.manual_seed(0)
    model = audio.work / "model"
    save_model(WavLM(BASE, 500), model)
    seal(model)
    card = Card(name="base", key="0", origins=())

    def stage() -> None:
        out = _empty(audio.work / "export")
        build_export(model, card, out)
        for name in list_files(out):  # as the store does
            sha256_of(out / name)

    return (
        stage,
        "Base, both layouts; the function alone: as a command it takes 20 s more, for imports and Prefect",
    )


def _train(audio: Speech) -> tuple[Stage, str]:
    train = TrainSpec(
        updates=1, warmup_updates=0, peak_lr=1e-4, batch_seconds=GROUP_SECONDS, group_seconds=GROUP_SECONDS
    )
    made = job(audio, "training", BASE, train, Runtime(workers=0))
    seal(made.data[0].labels_there)
    epoch = make_sampler(made).epoch(0).num_micro_batches  # builds the cache of labels, as a first run does

    def stage() -> None:
        for _ in islice(loader(made, SamplerState()), epoch):
            pass

    return stage, f"batches of one epoch; {audio.note}"


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _first(stage: Stage) -> Stage:
    """The stage as the first of its run."""

    def run() -> None:
        seals.forget()
        stage()

    return run


def _unchecked(stage: Stage) -> Stage:
    def run() -> None:
        with _no_checks():
            stage()

    return run


@contextmanager
def _no_checks() -> Iterator[None]:
    """No file has a record, no tar and no cache is hashed."""
    with ExitStack() as stack:
        for name, instead in (
            ("wavlm.storage.seals.find_sealed_folder", lambda _: None),
            ("wavlm.labels.part._check_sha256", lambda part: part),
            ("wavlm.labels.flat._is_whole", lambda *_: True),
            ("wavlm.labels.centroids.sha256_as_it_is", _recorded),
        ):
            stack.enter_context(mock.patch(name, instead))
        yield


def _recorded(path: Path) -> str:
    return seals.sealed_files(path.parent)[path.name].sha256
