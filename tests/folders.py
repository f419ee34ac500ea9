"""Recipes whose corpora are folders: their keys are known only after the folders were read."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from wavlm.corpus.build import build_corpus
from wavlm.corpus.contents import audio_root
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.grow import grow
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import contents_cache, corpora_of, read_folders
from wavlm.pipeline.store import Store
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe

CORPUS = """name: voices
role: speech
description: x
homepage: x
license: x
citation: x
sources: [%s]
layout: {type: generic, speaker: "^(?P<speaker>[^/]+)/"}
valid_fraction: 0.3
"""
RECIPE = """name: small
description: x
registry_name: small
speech: [voices]
shards: {min_seconds: 0.4, max_seconds: 4.0}
iterations:
  - codebook: {features: {type: mfcc}, num_clusters: 8}
    network: tiny
    train: {updates: 4, warmup_updates: 2, peak_lr: 1e-3, batch_seconds: 8.0, group_seconds: 8.0,
            max_crop_seconds: 2.0, valid_every: 3, log_every: 1}
"""


def write_project(folder: Path, path: str = "../../wavs", *, speakers: tuple[str, ...] = ("ann", "bob", "cid")) -> Path:
    """A project: folders of speech and a recipe. Returns the recipe's file."""
    add_speakers(folder / "wavs", speakers)
    for name, text in (
        ("corpora/voices.yaml", CORPUS % f"{{type: folder, path: {path}}}"),
        ("recipes/small.yaml", RECIPE),
    ):
        (folder / "specs" / name).parent.mkdir(parents=True)
        (folder / "specs" / name).write_text(text)
    return folder / "specs/recipes/small.yaml"


def add_speakers(folder: Path, speakers: Sequence[str], clips: int = 2) -> None:
    """Add <speaker>/<n>.flac of half a second each, which only speaker and n decide."""
    for speaker in speakers:
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        for clip in range(clips):
            noise = np.random.default_rng(zlib.crc32(f"{speaker}/{clip}".encode())).uniform(-0.2, 0.2, 8000)
            soundfile.write(folder / speaker / f"{clip}.flac", noise, 16000)


def read_resolved(recipe: Path, store: Store) -> Recipe:
    """A recipe as a flow reads it: with the content of its folders."""
    return read_folders(read_recipe(recipe), store, stall_seconds=0)


def corpus_and_shards(recipe: Recipe) -> tuple[Corpus, Shards]:
    """The first corpus of a recipe and its shards."""
    artifacts = plan(recipe)
    return (
        next(item for item in artifacts if isinstance(item, Corpus)),
        next(item for item in artifacts if isinstance(item, Shards)),
    )


def make_both(recipe: Recipe, store: Store) -> tuple[Corpus, Shards]:
    """Make the first corpus and its shards in this process."""
    corpus, shards = corpus_and_shards(recipe)
    spec = corpus.spec
    store.make(
        corpus, lambda out: build_corpus(spec, store.downloads, out, no_progress, contents_cache(spec, store), 0)
    )
    made = store.path(corpus)
    intake = Intake(stall_seconds=0, root=audio_root(spec, made))
    store.make(shards, lambda out: build_shards(shards.spec, made, out, 1, no_progress, intake))
    return corpus, shards


def grow_both(recipe: Path, store: Store, corpus_name: str = "voices") -> tuple[Corpus, Shards]:
    """Make the next generation of a recipe's corpus as a run does, with its list, and its shards."""
    spec = next(spec for spec in corpora_of(read_recipe(recipe)) if spec.name == corpus_name)
    grow(spec, store, stall_seconds=0)
    corpus, shards = corpus_and_shards(read_resolved(recipe, store))
    make_shards(shards, store)
    return corpus, shards


def make_shards(shards: Shards, store: Store) -> None:
    """Make the shards of a complete corpus, with what can be taken over from others."""
    made = store.path(shards.corpus)
    intake = Intake(stall_seconds=0, root=audio_root(shards.corpus.spec, made))
    siblings = store.siblings(shards)
    store.make(shards, lambda out: build_shards(shards.spec, made, out, 1, no_progress, intake, siblings))
