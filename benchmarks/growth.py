"""What it costs that a corpus grows by 1 %: CPU time and bytes written, of what building all of it costs.

Corpus, shards and labels go through the store, with its hashes and seals: labels by MFCC, and by a layer of the demo's
network, which is the smallest that a weekly refresh may have as its teacher. The codebook is fitted once, and is in
neither figure: a full build would fit it as well. What is written is counted by files: one that is a further name of
a file that was there counts nothing. Tars have 16 MB, so that there are several: real ones have 512, and what each of
them costs weighs 32 times as much here.

`WAVLM_BENCH_FOLDER` names a folder with a folder of audio files per speaker. Without it, speech is made up.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import soundfile
import torch

from benchmarks.harness import Claim, Figure, find_missing
from benchmarks.speech import utterances
from wavlm.corpus.contents import audio_root
from wavlm.execution.progress import no_progress
from wavlm.features.extract import ExtractionPlan, extraction_plan
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.artifacts import Codebook, Corpus, Labels, Shards
from wavlm.pipeline.grow import grow
from wavlm.pipeline.resolve import resolve_corpus
from wavlm.pipeline.store import Store
from wavlm.shards import build_shards
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.recordings import Intake
from wavlm.specs import (
    SAMPLE_RATE_HZ,
    CodebookSpec,
    CorpusSpec,
    Features,
    FolderSource,
    HiddenFeatures,
    MfccFeatures,
    ShardSpec,
)
from wavlm.specs.layouts import GenericLayout
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.yaml import read_network

PEER = "building all of it"
CPU = Claim("growth.cpu", "% of CPU", PEER, cpu="<= 3", devices=("cpu",))
BYTES = Claim("growth.bytes", "% of bytes written", PEER, cpu="<= 3", devices=("cpu",))
CPU_OF_LAYER = Claim("growth.cpu_of_layer", "% of CPU", PEER, cpu="<= 3", devices=("cpu",))
CLAIMS = (CPU, BYTES, CPU_OF_LAYER)
VARIABLE = "WAVLM_BENCH_FOLDER"
GAINS = (1.0, 0.8, 0.6, 0.4)  # of the speech that is made up, so that two hours are there
ADDED = 0.01
PLAN = ExtractionPlan("cpu", 1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
SECONDS = 1800  # of speech that is made up
MFCC = MfccFeatures(type="mfcc")
LAYER = HiddenFeatures(type="hidden", layer=1)
CODEBOOK = CodebookSpec(features=MFCC, num_clusters=100, sample_frames_per_cluster=200)
SHARDS = ShardSpec(min_seconds=1.0, max_seconds=40.0, shard_megabytes=16)


def main(device: str) -> Iterator[Figure]:  # noqa: ARG001 - the CPU's work everywhere
    """The shares of CPU time and of bytes that one more percent costs."""
    if reason := find_missing("faiss", "webdataset", "pyarrow"):
        yield from (claim.skip("cpu", reason) for claim in CLAIMS)
        return
    with TemporaryDirectory() as folder:
        work = Path(folder)
        given = os.environ.get(VARIABLE)
        files = sorted(Path(given).rglob("*.flac")) if given else _make_up(work / "made")
        cost, note = _measure(files, work / "mfcc", MFCC)
        yield CPU.figure(cost.seconds, "cpu", note)
        yield BYTES.figure(cost.num_bytes, "cpu", note)
        torch.manual_seed(0)
        network = read_network(shipped_specs() / "networks" / "tiny.yaml")
        save_model(WavLM(network, CODEBOOK.num_clusters), work / "teacher")
        cost, note = _measure(files, work / "layer", LAYER)
        yield CPU_OF_LAYER.figure(cost.seconds, "cpu", note)


def _make_up(folder: Path) -> list[Path]:
    made = []
    for number, waveform in enumerate(utterances(SECONDS)):
        for gain in GAINS:
            path = folder / f"s{number % 20}/{number:04d}-{gain}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, gain * waveform, SAMPLE_RATE_HZ, subtype="PCM_16")
            made.append(path)
    return made


class _Cost(NamedTuple):
    seconds: float  # of this process' CPU time
    num_bytes: float


def _measure(files: Sequence[Path], work: Path, features: Features) -> tuple[_Cost, str]:
    """The shares of time and bytes that one more percent costs, in percent."""
    num_new = max(1, round(ADDED * len(files)))
    _link(files[num_new:], work / "speech")
    growing = _Lab(Store(work / "store"), _spec(work, "store"), features)
    growing.make()  # also warms up, and fits the codebook
    whole = _Lab(Store(work / "whole"), _spec(work, "whole"), features)
    shutil.copytree(growing.store.root / Codebook.kind, whole.store.root / Codebook.kind)
    full = _cost(whole.make, work)
    _link(files[:num_new], work / "speech")
    more = _cost(growing.make, work)
    facts = growing.store.facts(growing.shards, ShardsFacts)
    note = (
        f"{num_new} of {len(files)} recordings, {facts.hours:.2f} h; {facts.parts_reused} of {facts.shards} tars "
        f"reused; {more.seconds:.2f} of {full.seconds:.2f} s, {more.num_bytes / 1e6:.2f} of "
        f"{full.num_bytes / 1e6:.1f} MB"
    )
    return _Cost(100 * more.seconds / full.seconds, 100 * more.num_bytes / full.num_bytes), note


@dataclass
class _Lab:
    """A store in which a corpus, its shards and its labels are made, generation after generation."""

    store: Store
    spec: CorpusSpec
    features: Features

    @property
    def shards(self) -> Shards:
        return Shards(SHARDS, Corpus(resolve_corpus(self.spec, self.store)))

    def make(self) -> None:
        """Make the next generation, and the codebook if there is none."""
        grow(self.spec, self.store, stall_seconds=0)
        shards = self.shards
        corpus = self.store.path(shards.corpus)
        intake = Intake(stall_seconds=0, root=audio_root(self.spec, corpus))
        self.store.make(
            shards,
            lambda out: build_shards(SHARDS, corpus, out, 1, no_progress, intake, self.store.siblings(shards)),
        )
        first = Shards(SHARDS, Corpus(shards.corpus.spec.until(1)))
        spec = CODEBOOK.model_copy(update={"features": self.features})
        codebook = Codebook(spec, (first,))
        folders = {self.spec.name: self.store.path(first)}
        teacher = self.store.root.parents[1] / "teacher" if self.features is LAYER else None
        plan = extraction_plan(1) if teacher else PLAN
        self.store.make(codebook, lambda out: build_codebook(spec, folders, teacher, out, plan))
        labels = Labels(codebook, shards)
        book, tars = self.store.path(codebook), self.store.path(shards)
        self.store.make(
            labels,
            lambda out: build_labels(
                book, self.features, tars, teacher, out, plan, no_progress, self.store.siblings(labels)
            ),
        )


def _cost(make: Callable[[], object], work: Path) -> _Cost:
    """What a call takes, and what it writes below a folder: the bytes of files that were not there before."""
    before = _files(work).keys()
    began = time.process_time()
    make()
    seconds = time.process_time() - began
    return _Cost(seconds, sum(size for file, size in _files(work).items() if file not in before))


def _files(folder: Path) -> dict[int, int]:
    """The size of each file by its inode."""
    states = (path.lstat() for path in folder.rglob("*") if path.is_file())
    return {state.st_ino: state.st_size for state in states}


def _link(files: Sequence[Path], folder: Path) -> None:
    for path in files:
        place = folder / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(path)  # a link that has to be followed costs more than a file does
        except OSError:  # on another disk
            shutil.copyfile(path, place)


def _spec(work: Path, name: str) -> CorpusSpec:
    """Lists of their own, so that the one store does not know what the other has read."""
    source = FolderSource(type="folder", path=str(work / "speech"), generations=str(work / f"{name}.generations"))
    return CorpusSpec(
        name="speech",
        role="speech",
        description="x",
        homepage="x",
        license="x",
        citation="x",
        sources=(source,),
        layout=GenericLayout(type="generic", speaker="^(?P<speaker>[^/]+)/"),
        valid_fraction=0.05,
    )
