"""A small store as two finished iterations leave it: real files, no network, no training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tasks.registry.connection import connect
from tests.facts import CORPUS, MIXTURES, SHARDS, codebook_facts, quality, scores_facts
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.execution import metrics
from wavlm.export import build_export
from wavlm.export.facts import ModelFacts
from wavlm.export.hf import write_hf
from wavlm.export.hf_config import HEAD_FILE
from wavlm.export.imported import build_model
from wavlm.labels.facts import LabelsFacts
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.artifacts import (
    Artifact,
    Codebook,
    Corpus,
    Export,
    ImportedModel,
    Labels,
    Mixtures,
    Model,
    Registration,
    Scores,
    Shards,
)
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.registration import REPORT_FILE
from wavlm.pipeline.report import Report
from wavlm.pipeline.store import Store
from wavlm.specs import (
    AptSource,
    CodebookSpec,
    CorpusSpec,
    GateSpec,
    HiddenFeatures,
    HttpsSource,
    IterationSpec,
    MfccFeatures,
    MixSpec,
    MixturesSpec,
    Recipe,
    ScoresSpec,
    ShardSpec,
)
from wavlm.specs.layouts import FestvoxLayout, LibrispeechLayout
from wavlm.storage.facts import Facts
from wavlm.train.facts import TrainingFacts

PNG = b"\x89PNG\r\n\x1a\n"
UPDATES = (10, 20, 30)
VALID_LOSS = {1: (4.0, 3.0, 2.5), 2: (3.5, 2.4, 2.0)}
PNMI = {1: 0.31, 2: 0.42}


@dataclass(frozen=True)
class BuiltStore:
    """A store and the recipe whose artifacts it holds, all but the registrations."""

    store: Store
    recipe: Recipe

    @property
    def models(self) -> tuple[Model, ...]:
        return models(plan(self.recipe))

    @property
    def registrations(self) -> tuple[Registration, ...]:
        return tuple(item for item in plan(self.recipe) if isinstance(item, Registration))


def spec_of(name: str, role: str) -> CorpusSpec:
    source = (
        AptSource(type="apt", package=name, version="1.0", sha256="a" * 64, size_bytes=1)
        if role == "speech"
        else HttpsSource(
            type="https",
            urls=("https://canary-user:canary-word@example.org/noise.tar?token=canary-token",),
            sha256="b" * 64,
            size_bytes=1,
            format="tar",
        )
    )
    return CorpusSpec.model_validate(
        {
            "name": name,
            "role": role,
            "description": "words",
            "homepage": "https://example.org",
            "license": "CC0",
            "citation": "nobody",
            "sources": (source,),
            "layout": FestvoxLayout(type="festvox", speaker="one")
            if role == "speech"
            else LibrispeechLayout(type="librispeech"),
        }
    )


def recipe_of(gate: GateSpec | None) -> Recipe:
    mix = MixSpec(name="paper", probability=0.2, noise_probability=0.1)
    return Recipe(
        name="tiny",
        description="two iterations",
        registry_name="WavLM-tiny",
        speech=(spec_of("voice", "speech"),),
        noise=(spec_of("bangs", "noise"),),
        shards=ShardSpec(min_seconds=1.0, max_seconds=15.0),
        mixtures=MixturesSpec(num_utterances=2),
        iterations=tuple(
            IterationSpec(
                codebook=CodebookSpec(features=features, num_clusters=50),
                network=tiny_network(),
                train=tiny_training(updates=UPDATES[-1]),
                mix=mix,
            )
            for features in (MfccFeatures(type="mfcc"), HiddenFeatures(type="hidden", layer=2))
        ),
        probe=ScoresSpec(num_clusters=50),
        gate=gate or GateSpec(),
    )


def build(artifact: Artifact, store: Store, out: Path) -> Facts:  # noqa: C901, PLR0911 - one case per kind
    """Files and facts as the stage of this kind leaves them, tiny."""
    if isinstance(artifact, Model):
        return _model(artifact, out)
    if isinstance(artifact, ImportedModel):
        return _imported(out)
    if isinstance(artifact, Labels):
        return _labels(artifact)
    if isinstance(artifact, Corpus | Shards):
        return SHARDS if isinstance(artifact, Shards) else CORPUS
    if isinstance(artifact, Scores):
        (out / "scores.png").write_bytes(PNG)
        return scores_facts(50)
    if isinstance(artifact, Codebook):
        return codebook_facts(artifact, 50)
    if isinstance(artifact, Mixtures):
        (out / "listen").mkdir()
        (out / "listen" / "one.png").write_bytes(PNG)
        return MIXTURES
    if isinstance(artifact, Export):
        return build_export(store.path(artifact.model), card_of(artifact.model, store), out)
    return Facts()  # nothing reads the facts of the others


def _labels(artifact: Labels) -> LabelsFacts:
    return LabelsFacts(
        device="cpu",
        num_utterances=900,
        num_labels=270_000,
        label_rate_hz=50,
        num_clusters=100,
        used_clusters=100,
        entropy_bits=6.0,
        largest_share=0.05,
        repeated_share=0.5,
        quality=quality(PNMI[2 if artifact.codebook.teacher else 1], num_frames=12345),
    )


def _imported(out: Path) -> ModelFacts:
    """A release without a head."""
    torch.manual_seed(9)
    write_hf(WavLM(tiny_network(), num_clusters=50), out.parent / "release")
    (out.parent / "release" / HEAD_FILE).unlink()
    return build_model(out.parent / "release", out)


def _model(artifact: Model, out: Path) -> Facts:
    torch.manual_seed(artifact.iteration)
    save_model(WavLM(artifact.network, num_clusters=50), out)
    for update, loss in zip(UPDATES, VALID_LOSS[artifact.iteration], strict=True):
        record: metrics.MetricsRecord = {
            "update": update,
            "epoch": 0,
            "train/loss": loss + 0.1,
            "train/masked_loss": loss,
            "train/masked_accuracy": 0.5 - loss / 10,
            "valid/loss": loss,
            "valid/masked_loss": loss - 0.1,
            "valid/masked_accuracy": 0.6 - loss / 10,
            "valid/majority": 0.08,
            "valid/label_entropy": 3.4,
            "valid_mixed/masked_loss": loss + 0.2,
            "valid_mixed/masked_accuracy": 0.5 - loss / 10,
            "time_unix": 1_700_000_000.0 + update,
        }
        metrics.append(out / "metrics.jsonl", record)
    return TrainingFacts(
        key=artifact.key,
        updates=UPDATES[-1],
        epochs=1,
        skipped_updates=0,
        audio_seconds=240.0,
        wall_seconds=10.0,
        parameters=16,
        processes=1,
        device="cpu",
        torch="2",
        valid_every=artifact.train.valid_every,
        log_every=artifact.train.log_every,
        validated_on=(f"{artifact.mixtures.name}-{artifact.mixtures.key}",) if artifact.mixtures else (),
    )


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry folder with MLflow's schema and nothing in it: making one takes seconds."""
    store = Store(tmp_path_factory.mktemp("schema"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(store)
    return store.root / "registry"


def _write_short_report(_report: Report, folder: Path) -> Path:
    """To draw the charts takes a second for each registration; test_report.py has the real page."""
    path = folder / REPORT_FILE
    path.write_text("a page")
    return path


@pytest.fixture
def make_store(
    tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[GateSpec | None], BuiltStore]:
    """A function that makes the store of a recipe with a given gate."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tasks.register.write_report", _write_short_report)

    def make(gate: GateSpec | None) -> BuiltStore:
        store = Store(tmp_path / "store")
        recipe = recipe_of(gate)
        for artifact in plan(recipe):
            if not isinstance(artifact, Registration):
                store.make(artifact, lambda out, item=artifact: build(item, store, out))
        shutil.copytree(empty_registry, store.root / "registry")
        return BuiltStore(store, recipe)

    return make


@pytest.fixture
def built(make_store: Callable[[GateSpec | None], BuiltStore]) -> BuiltStore:
    """A store whose recipe lets a lower validation loss become champion."""
    return make_store(GateSpec(metric="valid/loss", higher_is_better=False))
