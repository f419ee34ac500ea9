"""A recipe small enough to run whole, and a command line to run it with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parents[2]
RATE_HZ = 16000
PAGE = "homepage: https://example.org\nlicense: test data\ncitation: nobody\n"

CORPUS = """name: tiny-speech
role: speech
description: Voices made of pulses, for tests
{page}sources:
  - type: folder
    path: {folder}
    revision: "1"
layout:
  type: generic
  audio: "**/*.wav"
  speaker: "^(?P<speaker>[^/]+)/"
valid_speakers: [carol]
"""
MIX = """name: tiny-mix
probability: 0.5
"""
NETWORK = """
      extractor_norm: group
      norm_first: false
      normalize_waveform: false
      conv_layers:
        - {channels: 16, kernel: 10, stride: 5}
        - {channels: 16, kernel: 3, stride: 2}
        - {channels: 16, kernel: 3, stride: 2}
        - {channels: 16, kernel: 3, stride: 2}
        - {channels: 16, kernel: 3, stride: 2}
        - {channels: 16, kernel: 2, stride: 2}
        - {channels: 16, kernel: 2, stride: 2}
      width: 32
      ffn_width: 64
      num_layers: 2
      num_heads: 2
      position_kernel: 16
      position_groups: 4
      projection_width: 16
      num_buckets: 16
      max_distance: 32"""
TRAIN = """
      updates: {updates}
      warmup_updates: 2
      peak_lr: 0.002
      batch_seconds: 8.0
      group_seconds: 8.0
      max_crop_seconds: 2.0
      valid_every: 3
      log_every: 1"""
HEAD = """name: tiny
description: Voices made of pulses
registry_name: wavlm-tiny
speech: [tiny-speech]
shards:
  min_seconds: 1.0
  max_seconds: 4.0
  shard_megabytes: 0.2
mixtures:
  num_utterances: 2
  max_seconds: 2.0
iterations:"""
ITERATION = """
  - codebook:
      features: {features}
      num_clusters: 8
      sample_frames_per_cluster: 100
      iterations: 3
    network:{network}
    train:{train}
    mix: tiny-mix"""
# The first takes long enough to be killed in the middle.
FIRST = ITERATION.format(features="{type: mfcc}", network=NETWORK, train=TRAIN.format(updates=40))
SECOND = ITERATION.format(features="{type: hidden, layer: 1}", network=NETWORK, train=TRAIN.format(updates=4))

Wavlm = Callable[..., "subprocess.CompletedProcess[str]"]


def voice(rng: np.random.Generator, seconds: float, pitch_hz: float) -> np.ndarray:
    """Pulses through two moving resonances: voiced enough to have structure in its MFCC."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    vowels = np.repeat(rng.uniform(300, 2500, int(seconds / 0.25) + 1), RATE_HZ // 4)
    formant_hz = vowels[: len(time_s)]
    tone = np.zeros_like(time_s)
    for harmonic in range(1, 20):
        hz = harmonic * pitch_hz
        gain = np.exp(-(((hz - formant_hz) / 300) ** 2)) + 0.02
        tone += gain * np.sin(2 * np.pi * hz * time_s)
    return 0.1 * tone + 0.001 * rng.standard_normal(len(time_s))


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of two iterations on three speakers, sixteen utterances, 32 s.

    Beside it lies `tiny-first.yaml`, the same with the first iteration alone: the same keys.
    """
    tmp_path = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(1)
    audio = tmp_path / "audio"
    for speaker, pitch_hz in (("alice", 210.0), ("bob", 110.0), ("carol", 180.0)):
        (audio / speaker).mkdir(parents=True)
        for number in range(4 if speaker == "carol" else 6):
            seconds = 1.8 + 0.1 * number
            path = audio / speaker / f"{speaker}-{number}.wav"
            soundfile.write(path, voice(rng, seconds, pitch_hz), RATE_HZ, subtype="PCM_16")
    specs = tmp_path / "specs"
    for name, text in (
        ("corpora/tiny-speech.yaml", CORPUS.format(page=PAGE, folder=audio)),
        ("mixes/tiny-mix.yaml", MIX),
        ("recipes/tiny.yaml", f"{HEAD}{FIRST}{SECOND}\n"),
        ("recipes/tiny-first.yaml", f"{HEAD.replace('name: tiny', 'name: tiny-first')}{FIRST}\n"),
    ):
        (specs / name).parent.mkdir(parents=True, exist_ok=True)
        (specs / name).write_text(text)
    return specs / "recipes" / "tiny.yaml"


@pytest.fixture(scope="session")
def two_ranks(tiny_recipe: Path) -> Path:
    """The tiny recipe with a short first iteration alone, whose batch two ranks can share."""
    text = tiny_recipe.with_name("tiny-first.yaml").read_text().replace("name: tiny-first", "name: tiny-ranks")
    for before, after in (("group_seconds: 8.0", "group_seconds: 4.0"), ("updates: 40", "updates: 6")):
        assert before in text
        text = text.replace(before, after)
    path = tiny_recipe.with_name("tiny-ranks.yaml")
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of our own: nothing of the caller's Prefect or MLflow, one thread."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return {**kept, "HOME": str(home), "OMP_NUM_THREADS": "1", "PWD": str(ROOT)}


@pytest.fixture(scope="session")
def wavlm(environment: Mapping[str, str]) -> Wavlm:
    """Run the command line in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=ROOT,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    return run
