"""Does continuing a model beat a random start on other speakers? `python -m benchmarks.start --help`.

The same labels (MFCC, clustered on these speakers), updates, batches and seeds: only the first weights differ. The
labels are of a codebook that the model does not know, so its head is drawn anew as well. No benchmark of speed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.jobs import job_of
from wavlm.corpus.build import build_corpus
from wavlm.corpus.contents import audio_root
from wavlm.execution.exit_note import EXIT_NOTE_FILE
from wavlm.execution.job import TRAIN_LOCK
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.export.imported import build_model
from wavlm.features.extract import extraction_plan
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.pipeline.artifacts import Artifact, Codebook, Corpus, ImportedModel, Labels, Model, Shards, build_order
from wavlm.pipeline.imported import place_of
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.resolve import contents_cache, read_folders
from wavlm.pipeline.store import Store
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.yaml import read_recipe
from wavlm.storage.facts import Facts
from wavlm.storage.files import write_json
from wavlm.train.facts import TrainingFacts, read_training

CORPUS = """name: others
role: speech
description: speakers that the model was not trained on
homepage: ""
license: ""
citation: ""
sources: [{{type: folder, path: "{speech}"}}]
layout: {{type: generic, speaker: "^(?P<speaker>[^/]+)/"}}
valid_fraction: 0.15
"""
RECIPE = """name: {start}-{seed}
description: an experiment
registry_name: experiment
speech: [others]
models: {{base: {{source: {{type: folder, path: "{model}"}}}}}}
shards: {{min_seconds: 1.5, max_seconds: 15.6}}
iterations:
  - codebook: {{features: {{type: mfcc}}, num_clusters: 100, sample_frames_per_cluster: 500, frames_per_utterance: 160}}
    network: tiny
    {weights}
    train: {{updates: {updates}, warmup_updates: {warmup}, peak_lr: 2e-3, batch_seconds: {batch}, group_seconds: 4.0,
            max_crop_seconds: 4.0, unmasked_weight: 1.0, feature_penalty: 0.6, clip_norm: 1.2,
            valid_every: {every}, log_every: 50, seed: {seed}}}
"""
STARTS = {"random": "", "continued": "start: {model: base}"}


def main() -> None:
    """Train with both starts for each seed, and print the validation losses."""
    arguments = _arguments()
    found: dict[str, list[float]] = {start: [] for start in STARTS}
    for seed in range(arguments.seeds):
        for start in STARTS:
            facts = _train(arguments, start, seed)
            found[start].append(facts.metrics["valid/loss"])
            shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(facts.metrics.items()) if "valid" in name)
            print(f"seed {seed}, {start}: head {facts.head}, {facts.updates} updates: {shown}", flush=True)
    for start, losses in found.items():
        print(f"{start}: valid/loss {statistics.mean(losses):.4f} in the mean, {min(losses):.4f} to {max(losses):.4f}")
    gains = [random - continued for random, continued in zip(found["random"], found["continued"], strict=True)]
    print(f"continued is lower by {', '.join(f'{gain:.4f}' for gain in gains)} (one per seed)")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a model of the demo: <store>/pretrain/iteration1-*")
    parser.add_argument("--speech", type=Path, required=True, help="a folder <speaker>/*.flac of other speakers")
    parser.add_argument("--out", type=Path, required=True, help="specs and store; what is there is used again")
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--batch-seconds", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def _train(arguments: argparse.Namespace, start: str, seed: int) -> TrainingFacts:
    store = Store(arguments.out / "store")
    recipe = read_folders(read_recipe(_write_specs(arguments, start, seed)), store)
    (model,) = models(plan(recipe))
    for artifact in build_order([model]):
        store.make(artifact, lambda out, item=artifact: _build(item, store, out))  # type: ignore[misc]
    return read_training(store.path(model))


def _write_specs(arguments: argparse.Namespace, start: str, seed: int) -> Path:
    values = {
        "speech": arguments.speech.absolute(),
        "model": arguments.model.absolute(),
        "start": start,
        "seed": seed,
        "weights": STARTS[start],
        "updates": arguments.updates,
        "batch": arguments.batch_seconds,
        "warmup": arguments.updates // 20,
        "every": arguments.updates // 3,
    }
    specs: Path = arguments.out / "specs"
    recipe = specs / f"recipes/{start}-{seed}.yaml"
    for path, text in ((specs / "corpora/others.yaml", CORPUS), (recipe, RECIPE)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**values))
    return recipe


def _build(artifact: Artifact, store: Store, out: Path) -> Facts:
    """What the stage of an artifact does, in this process."""
    found: Facts = _BUILDERS[type(artifact)](artifact, store, out)
    return found


def _corpus(artifact: Corpus, store: Store, out: Path) -> Facts:
    return build_corpus(artifact.spec, store.downloads, out, no_progress, contents_cache(artifact.spec, store))


def _shards(artifact: Shards, store: Store, out: Path) -> Facts:
    made = store.path(artifact.corpus)
    intake = Intake(root=audio_root(artifact.corpus.spec, made))
    return build_shards(artifact.spec, made, out, 1, no_progress, intake)


def _imported(artifact: ImportedModel, _store: Store, out: Path) -> Facts:
    assert artifact.spec.folder is not None  # noqa: S101 - the recipe above gives one
    return build_model(place_of(artifact.spec.folder), out)


def _codebook(artifact: Codebook, store: Store, out: Path) -> Facts:
    folders = {item.corpus.name: store.path(item) for item in artifact.shards}
    return build_codebook(artifact.spec, folders, None, out, extraction_plan(1))


def _labels(artifact: Labels, store: Store, out: Path) -> Facts:
    book, shards = artifact.codebook, store.path(artifact.shards)
    return build_labels(store.path(book), book.spec.features, shards, None, out, extraction_plan(1))


def _model(artifact: Model, store: Store, out: Path) -> Facts:
    """The trainer in a process of its own, with one thread."""
    path = out / "job.json"
    job = job_of(artifact, store, Runtime(workers=0, processes=1, threads=1), out)
    write_json(path, job.model_dump(mode="json"))
    subprocess.run([sys.executable, "-m", "wavlm.train", str(path)], check=True)
    for name in ("job.json", TRAIN_LOCK, f"{TRAIN_LOCK}.owner", EXIT_NOTE_FILE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / ".cache", ignore_errors=True)
    return read_training(out)


_BUILDERS: dict[type[Artifact], Callable[[Any, Store, Path], Facts]] = {
    Corpus: _corpus,
    Shards: _shards,
    ImportedModel: _imported,
    Codebook: _codebook,
    Labels: _labels,
    Model: _model,
}

if __name__ == "__main__":
    main()
