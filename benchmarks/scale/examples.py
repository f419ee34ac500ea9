"""The examples of a pooled task: read, split, ordered by key, cut into parts of features, fitted on and scored.

Recordings are words of a second in shuffled shards, as keyword spotting has them. No network computes anything: the
files of features hold zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scale import Row, Spent, cost_of, in_sizes
from wavlm.specs.splits import ByPart

if TYPE_CHECKING:
    from wavlm.evaluation.features.part import FeatureGroup

SIZE = 1_000_000
FEW = 1_000  # recordings: what they take is what libraries take
SPEAKERS = 10_000
WORDS = 31
SAMPLES = 16_000
KNOWN = {"MB": ("", "<= 250 MB more than of 1,000"), "CPU s": ("", "")}


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time of the examples of so many recordings, and of few."""
    rows = in_sizes("examples of keyword spotting", measure_once, size or SIZE, KNOWN)
    return [*rows, Row("the same, what imports and the first fit take", measure_once(FEW).peak_mb, "MB", FEW)]


def measure_once(size: int) -> Spent:
    """What the examples cost. The corpus is made by another process, and not counted."""
    with TemporaryDirectory() as name:
        cost_of(write_fakes, Path(name), size)
        return cost_of(go_through, Path(name))


def write_fakes(folder: Path, size: int) -> None:
    """A manifest, targets and an index."""
    from wavlm.corpus.manifest import FORMAT, MANIFEST, SCHEMA
    from wavlm.corpus.targets import FORMAT as TARGET_FORMAT
    from wavlm.corpus.targets import TARGET_SCHEMA, TARGETS
    from wavlm.shards.index import INDEX_SCHEMA, index_path

    keys = [f"word{number % WORDS:02d}/{number:012x}_nohash_0" for number in range(size)]
    speakers = [f"speaker{number % SPEAKERS:05d}" for number in range(size)]
    known: dict[str, Sequence[object]] = {
        "key": keys,
        "path": keys,
        "speaker": speakers,
        "split": ["valid"] * size,
        "size_bytes": [32_044] * size,
        "sha256": [f"{number:064x}" for number in range(size)],
        "sample_rate_hz": [SAMPLES] * size,
        "num_samples": [SAMPLES] * size,
        "generation": [1] * size,
    }
    about = {"format": FORMAT, "corpus": "words", "recordings": str(size), "split_rule": "speakers", "split_below": "0"}
    _write(folder / MANIFEST, known, SCHEMA.with_metadata(about))
    parts = ["test" if number % 10 == 0 else "dev" if number % 10 == 1 else "train" for number in range(size)]
    targets = [f'{{"class":"word{number % WORDS:02d}"}}' for number in range(size)]
    labels = {"key": keys, "part": parts, "target": targets}
    _write(folder / TARGETS, labels, TARGET_SCHEMA.with_metadata(TARGET_FORMAT))
    order = np.random.default_rng(0).permutation(size)
    shuffled = {"key": [keys[number] for number in order], "samples": [SAMPLES] * size}
    _write(index_path(folder), shuffled, INDEX_SCHEMA)


def go_through(folder: Path) -> int:
    """A whole evaluation but for its features: examples, splits, parts, a short fit, predictions and results."""
    from unittest.mock import patch

    from wavlm.evaluation.features import cache
    from wavlm.evaluation.features.states import Subject
    from wavlm.evaluation.labelled import LabelledCorpus
    from wavlm.evaluation.run import Inputs, run_evaluation
    from wavlm.specs.evaluation import EvaluationSpec, MfccBaseline
    from wavlm.specs.yaml import find_suite

    spec: EvaluationSpec = find_suite(Path("ks-kajongg")).evaluations[0]
    fit = spec.fit and spec.fit.model_copy(update={"learning_rates": (1e-3,), "updates": 20, "seeds": (0,)})
    split = ByPart(type="parts", train=("train",), dev=("dev",), test=("test",))
    spec = spec.model_copy(update={"split": split, "fit": fit, "single_layers": False, "max_utterances": None})
    corpus = LabelledCorpus("words", folder, folder, 0, has_content=False)
    subject = Subject("words", baseline=MfccBaseline(type="mfcc"))
    inputs = Inputs((corpus,), (), {"words": folder}, subject, "mfcc")
    (folder / "out").mkdir()
    with patch.object(cache, "compute_features", _write_features):
        facts = run_evaluation(spec, inputs, folder / "cache", folder / "out")
    assert facts.train is not None  # noqa: S101 - a head was trained
    return facts.train.utterances


def _write_features(group: FeatureGroup) -> None:
    for part in group.parts:
        count = len(part.examples)
        for path, values in (
            (part.counts, np.ones(count, np.int64)),
            (part.norms, np.ones((count, 1))),
            (part.path, np.zeros((count, 1, part.subject.num_channels), np.float32)),
        ):
            np.save(path, values)


def _write(path: Path, columns: Mapping[str, Sequence[object]], schema: pa.Schema) -> None:
    """A table whose other columns are empty."""
    size = len(next(iter(columns.values())))
    arrays = [pa.array(columns.get(field.name, [None] * size), field.type) for field in schema]
    pq.write_table(pa.table(arrays, schema=schema), path, row_group_size=1 << 15, write_page_checksum=True)
