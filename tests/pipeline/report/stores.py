"""A store as finished iterations leave it, of any size, whose texts try to be markup. No network, no training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.facts import CORPUS, MIXTURES, SHARDS, codebook_facts, scores_facts
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.labels.facts import LabelsFacts, Quality
from wavlm.labels.files import Header, write_labels
from wavlm.mixing.counts import MixingFacts
from wavlm.mixing.facts import MixturesFacts
from wavlm.mixing.truth import Truth, write_truth
from wavlm.pipeline.artifacts import Artifact, Codebook, Corpus, Labels, Mixtures, Model, Registration, Scores, Shards
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.registration import OWN_REGISTRY, RegistrationFacts
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.rejects import Reject, write_rejects
from wavlm.specs import (
    CodebookSpec,
    CorpusSpec,
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
from wavlm.specs.layouts import LibrispeechLayout
from wavlm.storage.facts import Facts
from wavlm.train.facts import TrainingFacts

EVIL = "<script>window.pwned = 1</script>"
EVIL_IMAGE = '"><img src=x onerror="window.pwned = 2">'
K = 20
SECOND = 16000
SAMPLES_PER_HOUR = 3600 * SECOND


@dataclass(frozen=True)
class Size:
    """How large the recipe of a store is."""

    speech: int = 3
    hours: float = 2.0  # of each speech corpus
    updates: int = 60
    log_every: int = 10
    pair_seconds: float = 2.0
    effects: tuple[str, ...] = ("gain", "codec")
    loudness: float = 0.05  # of the noise in all recordings

    @property
    def real(self) -> bool:
        return self.speech > 10


@dataclass(frozen=True)
class MadeStore:
    store: Store
    recipe: Recipe

    @property
    def models(self) -> tuple[Model, ...]:
        return models(plan(self.recipe))

    def find(self, kind: type[Artifact]) -> list[Artifact]:
        return [item for item in plan(self.recipe) if isinstance(item, kind)]


def make_store(folder: Path, size: Size = Size()) -> MadeStore:
    """The store of a recipe with two iterations, the second with mixtures; registered, but never in a registry."""
    made = MadeStore(Store(folder), recipe_of(size))
    for artifact in plan(made.recipe):
        made.store.make(artifact, lambda out, item=artifact: build(item, out, size))
    return made


def recipe_of(size: Size) -> Recipe:
    codebooks = (MfccFeatures(type="mfcc"), HiddenFeatures(type="hidden", layer=2))
    training = tiny_training(updates=size.updates, log_every=size.log_every, warmup_updates=5)
    return Recipe(
        name="small",
        description=f"Two iterations of {EVIL}",
        registry_name="wavlm-small",
        speech=tuple(corpus_spec(f"speech-{number:02d}", "speech") for number in range(size.speech)),
        noise=(corpus_spec("bangs", "noise"),),
        shards=ShardSpec(min_seconds=1.0, max_seconds=15.0),
        mixtures=MixturesSpec(num_utterances=4),
        iterations=tuple(
            IterationSpec(
                codebook=CodebookSpec(features=features, num_clusters=K),
                network=tiny_network(),
                train=training,
                mix=MixSpec(name="some", probability=0.2, noise_probability=0.1) if number else None,
            )
            for number, features in enumerate(codebooks)
        ),
        probe=ScoresSpec(num_clusters=K),
    )


def corpus_spec(name: str, role: str) -> CorpusSpec:
    return CorpusSpec.model_validate(
        {
            "name": name,
            "role": role,
            "description": f"Voices, it's $(touch pwned) `touch pwned` {EVIL_IMAGE}",
            "homepage": "javascript:window.pwned = 3" if name == "bangs" else "https://example.org/speech",
            "license": f"CC0 {EVIL}",
            "citation": f"Nobody & Sons: {EVIL_IMAGE}",
            "sources": (
                HttpsSource(
                    type="https",
                    urls=("https://me:secret@example.org/a.tar?token=secret",),
                    sha256=name.encode().hex().ljust(64, "0")[:64],
                    size_bytes=1,
                    format="tar",
                ),
            ),
            "layout": LibrispeechLayout(type="librispeech"),
        }
    )


def build(artifact: Artifact, out: Path, size: Size) -> Facts:  # noqa: C901, PLR0911 - one case per kind
    """Files and facts as the stage of this kind leaves them."""
    if isinstance(artifact, Corpus):
        return _corpus(size)
    if isinstance(artifact, Shards):
        return _shards(artifact, out, size)
    if isinstance(artifact, Codebook):
        return codebook_facts(artifact, K).model_copy(update={"inertia_per_iteration": (3.0, 2.0, 1.5)})
    if isinstance(artifact, Labels):
        return _labels(artifact, out, size)
    if isinstance(artifact, Mixtures):
        return _mixtures(out, size)
    if isinstance(artifact, Model):
        return _model(artifact, out, size)
    if isinstance(artifact, Scores):
        return scores_facts(K)
    if isinstance(artifact, Registration):
        return _registration(artifact)
    return Facts()


def _corpus(size: Size) -> CorpusFacts:
    whole = Amount(recordings=1000, microseconds=round(size.hours * 3.6e9))
    changes = {
        "utterances": 1000, "speakers": 4, "hours": size.hours, "split_rule": "speakers", "split_below": 0.01,
        "valid_utterances": 10, "valid_hours": size.hours / 100, "found": whole, "train": whole,
    }  # fmt: skip
    return CORPUS.model_copy(update=changes)


def _shards(artifact: Shards, out: Path, size: Size) -> ShardsFacts:
    is_first = artifact.name == "speech-00"
    rejects = [Reject(f"clip{n}", "AUDIO_SILENT", f"all zero; in {EVIL}{n}.wav", samples=SECOND) for n in range(5)]
    write_rejects(out, rejects if is_first else [])
    hours = size.hours * (1 + int(artifact.name[-2:]) if artifact.name.startswith("speech") else 0.01)
    used = round(hours * SAMPLES_PER_HOUR)
    changes = {
        "recordings": 1000,
        "recordings_used": 993 if is_first else 998,
        "excluded": {"TOO_SHORT": 2},
        "rejected": {"AUDIO_SILENT": 5} if is_first else {},
        "samples": used + SECOND * (7 if is_first else 2),
        "samples_used": used,
        "samples_excluded": 2 * SECOND,
        "samples_refused": 5 * SECOND if is_first else 0,
        "speakers": 4,
        "hours": hours,
        "valid_hours": hours / 100,
    }
    return SHARDS.model_copy(update=changes)


def _labels(artifact: Labels, out: Path, size: Size) -> LabelsFacts:
    rng = np.random.default_rng(len(artifact.name))
    header = Header("0" * 64, "0" * 64, json.dumps({"type": "mfcc"}), 100, K)
    for name in ("train-000000", "valid-000000"):
        # The commonest label is 7, the last one never occurs.
        labels = [np.where(rng.random(200) < 0.3, 7, rng.integers(0, K - 1, 200)).astype(np.uint16) for _ in range(5)]
        write_labels(out / f"{name}.parquet", [f"{name}-{n}" for n in range(5)], labels, header)
    has_phones = artifact.name == "speech-00"
    quality = Quality(phone_purity=0.4, cluster_purity=0.2, pnmi=0.31, num_frames=1000)
    return LabelsFacts(
        device="cpu",
        num_utterances=10,
        num_labels=2000,
        label_rate_hz=100,
        num_clusters=K,
        used_clusters=K - 1,
        entropy_bits=4.0,
        largest_share=0.3,
        repeated_share=0.5,
        quality=quality if has_phones else None,
    )


def _mixtures(out: Path, size: Size) -> MixturesFacts:
    """Three mixtures to listen to; in the last 0.5 s of each something is mixed in."""
    (out / "listen").mkdir()
    length = round(size.pair_seconds * SECOND)
    truth = [_truth(f"{n:05d}-utt", length, "speech" if n % 2 else "noise") for n in range(8 if size.real else 3)]
    for number, name in enumerate([*(item.key for item in truth), *(f"effect-{name}" for name in size.effects)]):
        clean = size.loudness * np.random.default_rng(number).uniform(-1, 1, length)
        mixed = clean.copy()
        mixed[-SECOND // 2 :] += 0.3 * np.sin(np.arange(SECOND // 2) * 2 * np.pi * 440 / SECOND)
        soundfile.write(out / "listen" / f"{name}.clean.wav", clean, SECOND, subtype="PCM_16")
        soundfile.write(out / "listen" / f"{name}.mixed.wav", mixed, SECOND, subtype="PCM_16")
    write_truth(out, truth)
    changes = {"utterances": 4, "with_speech": 2, "with_noise": 2, "heard": 4, "listening_pairs": len(truth)}
    return MIXTURES.model_copy(update=changes)


def _truth(key: str, length: int, kind: str) -> Truth:
    return Truth(
        key=key,
        primary="utt",
        primary_sha256="0" * 64,
        primary_speaker=EVIL,
        first_frame=0,
        num_samples=length,
        kind=kind,
        secondary="other",
        secondary_speaker=EVIL_IMAGE if kind == "speech" else "",
        start_samples=length - SECOND // 2,
        end_samples=length,
        loudest_samples=length - SECOND // 4,
        source_start_samples=0,
        ratio_db=1.5,
        scale=1.0,
        gain=1.0,
        effects="codec" if kind == "speech" else "",
    )


def _model(artifact: Model, out: Path, size: Size) -> TrainingFacts:
    lines = []
    for update in range(size.log_every, size.updates + 1, size.log_every):
        loss = 2 + 2 * float(np.exp(-update / size.updates)) + 0.01 * (update * 7919 % 101) / 101
        record = {
            "update": update,
            "train/masked_loss": loss,
            "train/masked_accuracy": 0.5 - loss / 10,
            "lr": 1e-3 * (1 - update / size.updates),
            "grad_norm": 987.5 if update == size.log_every * 3 else 1 + 0.1 * (update * 104729 % 97) / 97,
            "audio_seconds_per_second": 100.0 + update % 7,
            "train/data_wait": 0.05,
            "time_unix": 1.7e9 + update,
        }
        if update % (10 * size.log_every) == 0 or update == size.updates:
            record |= {
                "valid/loss": loss,
                "valid/masked_loss": loss + 0.05,
                "valid/masked_accuracy": 0.45 - loss / 10,
                "valid/majority": 0.08,
                "valid/label_entropy": 3.4,
                "valid_mixed/masked_loss": loss + 0.2,
                "valid_mixed/masked_accuracy": 0.4 - loss / 10,
                "valid_mixed/utterances": 4,
            }
        if update == size.updates:
            record |= {"valid/speech-01/masked_loss": 2.125, "valid/speech-01/masked_accuracy": 0.375}
        lines.append(json.dumps(record))
    (out / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    mixing = MixingFacts(
        utterances=800, with_speech=80, with_noise=40, mean_speech_ratio_db=0.5, mean_noise_ratio_db=None, effects={}
    )
    return TrainingFacts(
        key=artifact.key,
        updates=size.updates,
        epochs=3,
        skipped_updates=1,
        audio_seconds=7200.0,
        mixing=mixing if artifact.mix else None,
        wall_seconds=4000.0,
        parameters=94_000_000,
        processes=2,
        device="cuda",
        torch="2.13.0",
        valid_every=artifact.train.valid_every,
        log_every=artifact.train.log_every,
        validated_on=(f"{artifact.mixtures.name}-{artifact.mixtures.key}",) if artifact.mixtures else (),
    )


def _registration(artifact: Registration) -> RegistrationFacts:
    return RegistrationFacts(
        name=artifact.registry_name,
        version=artifact.model.iteration,
        run_id="0" * 32,
        uri=OWN_REGISTRY,
        source="x",
        sha256="0" * 64,
        aliases=("candidate",),
        champion=f"not better, says {EVIL}",
    )
