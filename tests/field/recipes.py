"""A small recipe as files, for tests that change one thing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from wavlm.execution.runtime import Runtime
from wavlm.pipeline.check import find
from wavlm.pipeline.check.wanted import Finding
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import read_recipe

ROOT = Path(__file__).parents[2]
CORPUS = """\
name: mine
role: speech
description: test
homepage: https://example.org
license: none
citation: nobody
sources:
  - {{type: folder, path: "{folder}", revision: "1"}}
layout: {{type: generic, audio: "**/*.flac", speaker: "^(?P<speaker>[^/]+)/"}}
valid_fraction: 0.1
"""
RECIPE = """\
name: small
description: test
registry_name: wavlm-small
speech: [mine]
shards: {min_seconds: 1.0, max_seconds: 15.0}
iterations:
"""
ITERATION = """\
  - codebook: {{features: {features}, num_clusters: 10}}
    network: {{preset: tiny, special_symbols: 0}}
    train:
      updates: 10
      warmup_updates: 1
      peak_lr: 1e-3
      batch_seconds: 24.0
      group_seconds: 6.0
      max_crop_seconds: 3.0
"""
MFCC, HIDDEN = "{type: mfcc}", "{type: hidden, layer: 1}"


def write_recipe(folder: Path, *replacements: tuple[str, str], iterations: tuple[str, ...] = (MFCC,)) -> Path:
    """Write corpus, recipe and a folder of speech; each replacement changes the text of corpus or recipe."""
    speech = folder / "speech"
    (speech / "ann").mkdir(parents=True, exist_ok=True)
    (speech / "ann" / "1.flac").touch()
    texts = {
        "corpora/mine.yaml": CORPUS.format(folder=speech),
        "recipes/small.yaml": RECIPE + "".join(ITERATION.format(features=item) for item in iterations),
    }
    for old, new in replacements:
        assert any(old in text for text in texts.values()), old
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder / "recipes" / "small.yaml"


def findings(recipe: Path, store: Path, **runtime: int) -> list[Finding]:
    """What the check says about a whole run."""
    spec = read_recipe(recipe)
    return list(find(spec, plan(spec), Store(store), Runtime(**runtime)))


def run_wavlm(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
