"""A labelled corpus of tones, small enough to evaluate in seconds, and a suite on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.flows.conftest import NETWORK, RATE_HZ

CORPUS = """name: {name}
role: evaluation
description: Two words made of tones, for tests
homepage: https://example.org/{name}
license: test data
citation: nobody
sources: [{{type: folder, path: ../{folder}, revision: "1"}}]
layout:
  type: generic
  audio: "**/*.wav"
  speaker: "^(?P<speaker>[^/]+)/"
  transcripts: labels.tsv
  text_column: ""
  class_column: word
"""
EVALUATION = """name: {name}
description: Which of two tones is played
task: {{type: ks}}
corpora: [{corpus}]
split: {{type: speakers, dev: 0.25, test: 0.5}}
head: {{type: pooled_linear, projection: 8}}
fit: {{learning_rates: [1e-2], updates: 20, batch: 4, dev_every: 10}}
single_layers: true
"""
SUITE = """name: tones
description: Tones, for tests
evaluations: [{names}]
baselines: []
"""
WORDS = {"high": 1800.0, "low": 300.0}


def write_tones(folder: Path, evaluations: dict[str, str]) -> Path:
    """A suite with one evaluation per corpus, by name; `absent` is a corpus whose folder is not there."""
    for name, corpus in evaluations.items():
        _write(folder / f"corpora/{corpus}.yaml", CORPUS.format(name=corpus, folder=corpus))
        _write(folder / f"evaluations/{name}.yaml", EVALUATION.format(name=name, corpus=corpus))
        if corpus != "absent":
            _write_audio(folder / corpus)
    _write(folder / "networks/tiny.yaml", _unindent(NETWORK))
    return _write(folder / "suites/tones.yaml", SUITE.format(names=", ".join(evaluations)))


def _write_audio(folder: Path) -> None:
    rng = np.random.default_rng(3)
    rows = ["utt_id\tword"]
    for speaker in ("ann", "bob", "cid", "dan"):
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        for word, hz in WORDS.items():
            for take in range(3):
                time_s = np.arange(RATE_HZ // 4) / RATE_HZ
                wave = 0.2 * np.sin(2 * np.pi * hz * rng.uniform(0.9, 1.1) * time_s)
                wave += 0.01 * rng.standard_normal(len(time_s))
                soundfile.write(folder / speaker / f"{word}{take}.wav", wave, RATE_HZ, subtype="PCM_16")
                rows.append(f"{speaker}/{word}{take}\t{word}")
    _write(folder / "labels.tsv", "\n".join(rows) + "\n")


def _unindent(text: str) -> str:
    return "".join(f"{line.removeprefix('      ')}\n" for line in text.strip("\n").splitlines())


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
