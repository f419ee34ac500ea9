"""A labelled corpus of made-up words, and jobs that fine-tune tiny networks on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from tests.corpus.corpora import of_folder
from tests.tiny_specs import tiny_network
from wavlm.corpus.build import build_corpus
from wavlm.execution.finetune_job import FinetuneJob, LabelledFolders
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.layouts import GenericLayout

SPEAKERS = ("ann", "bob", "cat", "dan", "eve", "fay")
PITCHES_HZ = {"a": 400, "b": 900, "c": 2000}  # of the letters
WORDS = ("ab", "ba", "cab")
LAYOUT = GenericLayout.model_validate(
    {
        "type": "generic",
        "audio": "**/*.flac",
        "speaker": "^(?P<speaker>[a-z]+)/",
        "transcripts": "labels.tsv",
        "text_column": "text",
        "class_column": "class",
    }
)


def say(word: str, number: int) -> np.ndarray:
    """Each letter is a tone of 0.1 s, with a pause behind it, in noise that the number decides."""
    times_s = np.arange(1600) / 16000
    sounds = [np.sin(2 * np.pi * PITCHES_HZ[letter] * times_s) for letter in word]
    wave = np.concatenate([part for sound in sounds for part in (0.3 * sound, np.zeros(800))])
    noise = np.random.default_rng(number).normal(size=len(wave) + 100 * (number % 5))
    noise[: len(wave)] += wave / 0.01
    return (0.01 * noise).astype(np.float32)


def write_words(root: Path, each: int) -> Path:
    """A folder with `each` recordings of each speaker, word by word."""
    rows = ["utt_id\ttext\tclass"]
    for place, speaker in enumerate(SPEAKERS):
        (root / speaker).mkdir(parents=True)
        for number in range(each):
            word = WORDS[number % len(WORDS)]
            sf.write(root / speaker / f"{number}.flac", say(word, 100 * place + number), 16000)
            rows.append(f"{speaker}/{number}\t{word}\t{word}")
    (root / "labels.tsv").write_text("\n".join(rows) + "\n")
    return root


def make_corpus(root: Path, each: int = 6) -> LabelledFolders:
    """The corpus of them, and its shards."""
    write_words(root / "raw", each)
    spec = of_folder(root / "raw", LAYOUT, role="evaluation", max_left_out=0.0)
    build_corpus(spec, root / "downloads", root / "corpus", no_progress)
    build_shards(
        make_spec().shards,
        root / "corpus",
        root / "shards",
        1,
        no_progress,
        Intake(spec.channels, spec.role, root=root / "raw"),
    )
    return LabelledFolders(name="words", corpus=root / "corpus", shards=root / "shards")


def make_spec(*stages: dict[str, Any], **fields: Any) -> FinetuneSpec:
    """Words by a pooled classifier on a random network of two layers, in one stage of 6 updates if none is given."""
    given: dict[str, Any] = {
        "name": "tiny",
        "description": "d",
        "registry_name": "tiny",
        "baseline": {"type": "random", "network": tiny_network().model_dump(mode="json")},
        "task": {"type": "ks"},
        "head": {"type": "pooled_linear", "projection": 8},
        "corpora": [of_folder(Path("x"), LAYOUT, role="evaluation", max_left_out=0.0)],
        "split": {"type": "speakers", "dev": 0.34, "test": 0.34},
        "stages": [stage(**item) for item in stages or ({},)],
    }
    text = json.dumps(given | fields, default=lambda item: item.model_dump(mode="json"))
    return FinetuneSpec.model_validate_json(text)


def stage(**fields: Any) -> dict[str, Any]:
    """A stage of 6 updates of two micro-batches, all trained but the convolutions."""
    given = {
        "updates": 6,
        "batch_seconds": 4.0,
        "group_seconds": 2.0,
        "peak_lr": 1e-2,
        "dev_every": 3,
    }
    return given | fields


def make_job(corpus: LabelledFolders, out: Path, spec: FinetuneSpec | None = None, **runtime: Any) -> FinetuneJob:
    """A job on one process and one thread, which saves a checkpoint after every update."""
    out.mkdir(parents=True, exist_ok=True)
    given = {"workers": 0, "threads": 1, "snapshot_every": 1}
    return FinetuneJob(
        key="k",
        out=out,
        spec=spec or make_spec(),
        subject_name="random",
        data=(corpus,),
        runtime=Runtime(**given | runtime),
    )
