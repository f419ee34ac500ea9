"""A small project, its finished store, and its stages as functions that a fork can run again in a copy of the store.

Every stage goes through `Store.make`, most through the task that a run calls. Training runs in the fork itself.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

from flows.make import _TASKS
from tasks.jobs import job_of
from tasks.orchestration.trainer import _remove_leftovers
from tests.faults.events import Control, Fault, Whose
from tests.faults.trial import Ended, promise, run_forked, run_teaching
from tests.folders import read_resolved, write_project
from wavlm.corpus.build import build_corpus
from wavlm.engine.attempt import begin_attempt
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.labels import build as labels_build
from wavlm.pipeline.artifacts import Artifact, Model
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import contents_cache
from wavlm.pipeline.store import Store
from wavlm.shards import build as shards_build
from wavlm.shards import build_shards
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.recordings import Intake
from wavlm.train.data import data_of
from wavlm.train.facts import TrainingFacts, read_training
from wavlm.train.loop import train

KINDS = ("corpus", "shards", "codebook", "labels", "mixtures", "pretrain", "export")
RUNTIME = Runtime(workers=1, threads=1, processes=1, tracking=False, wait_minutes=0, snapshot_every=1)
# Their bytes hold times: they have to be there, and their content is not compared.
TIMED = {"artifact.json", "seal.json", "metrics.jsonl", "train.log", "training.json", "state.json", "manifest.json",
         "README.md"}  # fmt: skip
TIMED_SUFFIXES = {".pt"}
Digests = dict[str, str]


class Scene:
    """What all trials of a campaign share: one folder, in which one trial works at a time."""

    def __init__(self, folder: Path, control: Control) -> None:
        self.folder, self.control = folder, control
        self.trial = folder / "trial"  # all trials have the same paths
        self._counts: dict[tuple[str, Whose, int], int] = {}

    @cached_property
    def recipe(self) -> Path:
        """A recipe of four speakers, whose shards have several tars."""
        shutil.rmtree(self.folder / "project", ignore_errors=True)
        recipe = write_project(self.folder / "project", speakers=("ann", "bob", "cid", "dan"))
        text = recipe.read_text().replace("max_seconds: 4.0}", "max_seconds: 4.0, shard_megabytes: 0.02}")
        text = text.replace("iterations:", "mixtures: {num_utterances: 2, max_seconds: 1.0}\niterations:", 1)
        recipe.write_text(text + "    mix: loud\n")
        mix = recipe.parents[1] / "mixes" / "loud.yaml"
        mix.parent.mkdir()
        mix.write_text("name: loud\nprobability: 0.5\n")
        return recipe

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """What is made, by kind."""
        (self.folder / "finished").mkdir(exist_ok=True)
        found = plan(read_resolved(self.recipe, Store(self.folder / "finished")))
        return {item.kind: item for item in found if item.kind in KINDS}

    @cached_property
    def finished(self) -> Path:
        """A store in which every stage is complete. It is copied, never used."""
        root = self.folder / "finished"
        shutil.rmtree(root, ignore_errors=True)
        for kind in KINDS:
            run_teaching(partial(self.make, kind, root), self.folder / "log", kind)
        return root

    @cached_property
    def expected(self) -> dict[str, Digests]:
        """The digests of every artifact; those of a second undisturbed run are the same."""
        wanted = {kind: digests(self.place(kind, self.finished)) for kind in KINDS}
        for kind in KINDS:
            self.fresh(kind)
            promise(self.run(kind).code == 0, f"the undisturbed {kind} failed")
            got = digests(self.place(kind))
            promise(got == wanted[kind], f"two undisturbed runs of {kind} differ: {differences(got, wanted[kind])}")
        return wanted

    def place(self, kind: str, root: Path | None = None) -> Path:
        """The folder of an artifact in a store, by default in that of the trial."""
        return Store(root or self.store).path(self.artifacts[kind])

    @property
    def store(self) -> Path:
        """The store of the trial."""
        return self.trial / "store"

    def fresh(self, kind: str) -> None:
        """A new copy of the finished store in which a stage is left to be made, and all that comes after it."""
        finished, later = self.finished, set(KINDS[KINDS.index(kind) + 1 :])
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(finished, self.store, ignore=lambda folder, _: later if Path(folder) == finished else ())
        shutil.rmtree(self.place(kind))

    def run(self, kind: str, fault: Fault | None = None, workers: int = 1, log: Path | None = None) -> Ended:
        """Run a stage in the trial's store, with a fault or without."""
        work = partial(self.make, kind, self.store, workers)
        if fault is None:
            return run_forked(work, self.trial / "log")
        with self.control.armed(fault, self.store, log):
            return run_forked(work, self.trial / "log", self.control)

    def count(self, kind: str, whose: Whose = Whose.ANYBODY, workers: int = 1) -> int:
        """How many events an undisturbed run of a stage has: of anybody, of its first process, or of the others."""
        if (kind, whose, workers) not in self._counts:
            self.fresh(kind)
            done = self.run(kind, Fault(whose=whose), workers)
            promise(done.code == 0, f"the undisturbed {kind} ended with {done.code}: {done.said[-2000:]}")
            self._counts[kind, whose, workers] = self.control.count
        return self._counts[kind, whose, workers]

    def make(self, kind: str, root: Path, workers: int = 1) -> None:
        """Make one artifact in this process, and in those that the stage starts."""
        if workers > 1:
            _make_pools_cheap()
        artifact, store = self.artifacts[kind], Store(root)
        own = {"corpus": _make_corpus, "shards": _make_shards, "pretrain": _train}
        if kind in own:
            own[kind](artifact, store, workers)
        else:
            runtime = RUNTIME.model_copy(update={"workers": workers})
            _TASKS[kind].fn(artifact, store, runtime)

    def check_half(self, kind: str) -> None:
        """What is visible after a fault is whole: the artifact is not there, or it is the expected one."""
        folder = self.place(kind)
        if folder.exists():
            got = digests(folder)
            promise(got == self.expected[kind], f"half of it is visible: {differences(got, self.expected[kind])}")

    def check_rerun(self, kind: str, workers: int = 1) -> None:
        """The stage ends well without the fault, with the same bytes, and leaves nothing half."""
        done = self.run(kind, workers=workers)
        promise(done.code == 0, f"the rerun ended with {done.code}: {done.said[-1500:]}")
        got = digests(self.place(kind))
        promise(got == self.expected[kind], f"other bytes after the rerun: {differences(got, self.expected[kind])}")
        left = [path.name for path in self.store.rglob("*.partial") if "trash" not in path.parts]
        promise(not left, f"left behind: {left}")


def _make_pools_cheap() -> None:
    """So little data would be made by one process, and new workers would import for seconds: forks have imported.

    The limits of this process alone change, which is a fork that ends with its trial.
    """
    shards_build.SECONDS_PER_WORKER = 0.1
    labels_build.CORE_SECONDS_PER_WORKER = 1e-6
    real = multiprocessing.get_context
    multiprocessing.get_context = lambda method=None: real("fork" if method == "spawn" else method)  # type: ignore[method-assign]


def _make_corpus(artifact: Artifact, store: Store, _workers: int) -> None:
    spec = artifact.spec  # type: ignore[attr-defined]
    cache = contents_cache(spec, store)  # a killed fork has no fork server, so nothing is fenced
    store.make(artifact, lambda out: build_corpus(spec, store.downloads, out, no_progress, cache, 0))


def _make_shards(artifact: Artifact, store: Store, workers: int) -> None:
    store.make(artifact, shards_builder(artifact, store, workers))


def shards_builder(artifact: Artifact, store: Store, workers: int) -> Callable[[Path], ShardsFacts]:
    """What fills a folder with shards, without a fence, whose server takes a second to start."""
    spec, made = artifact.spec, store.path(artifact.corpus)  # type: ignore[attr-defined]
    intake = Intake(stall_seconds=0, root=_audio_root(artifact, made))
    return lambda out: build_shards(spec, made, out, workers, no_progress, intake)


def _audio_root(artifact: Artifact, made: Path) -> Path:
    from wavlm.corpus.contents import audio_root

    return audio_root(artifact.corpus.spec, made)  # type: ignore[attr-defined]


def _train(artifact: Artifact, store: Store, _workers: int) -> None:
    assert isinstance(artifact, Model)

    def build(out: Path) -> TrainingFacts:
        job = job_of(artifact, store, RUNTIME, out)
        with StopRequest() as stop, begin_attempt(job.out, job.runtime, stop, str(artifact)) as ranks:
            train(job, data_of(job, ranks), ranks, stop)
        _remove_leftovers(out)  # as the caller of a trainer does
        return read_training(out)

    store.make(artifact, build)


def digests(folder: Path) -> Digests:
    """The digest of every file of a folder; "timed" for those whose bytes hold times."""
    found = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        is_timed = path.name in TIMED or path.suffix in TIMED_SUFFIXES
        name = path.relative_to(folder).as_posix()
        found[name] = "timed" if is_timed else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(got: Digests, wanted: Digests) -> list[str]:
    """The names that are missing, too many or different."""
    return sorted(name for name in {*got, *wanted} if got.get(name) != wanted.get(name))[:5]
