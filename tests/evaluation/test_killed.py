"""Kill an evaluation at each of its events on files, run it again: the same scores, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.tones import write_tones
from tests.kill import output_of
from tests.pipeline.test_heard import make_shards
from wavlm.pipeline.store import Store

KILL = """
import sys
from pathlib import Path

from tests.kill import kill_at_every_event
from tests.tiny_specs import tiny_network
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.run import Inputs, run_evaluation
from wavlm.specs.evaluation import RandomBaseline
from wavlm.specs.yaml import find_suite

suite, corpus_dir, shards_dir, work = map(Path, sys.argv[1:])
spec = find_suite(suite).evaluations[0]
fit = spec.fit.model_copy(update={"learning_rates": (1e-2, 1e-3), "updates": 2, "dev_every": 1})
spec = spec.model_copy(update={"fit": fit, "single_layers": False})
labelled = LabelledCorpus("tones", corpus_dir, shards_dir, 0)
subject = Subject("random", baseline=RandomBaseline(type="random", network=tiny_network()))
inputs = Inputs((labelled,), (), {"tones": shards_dir}, subject, "random")


def evaluate(folder):
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    run_evaluation(spec, inputs, folder / "cache", out)


def contents(folder):
    paths = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if not path.name.startswith(".")}


print(kill_at_every_event(evaluate, contents, work), *contents(work / "reference"))
"""


@pytest.mark.full
def test_whenever_an_evaluation_is_killed_it_goes_on_to_the_same_scores(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    suite, store = write_tones(tmp_path, {"ks": "tones"}), Store(tmp_path / "store")
    shards = make_shards(tmp_path / "corpora/tones.yaml", store)
    (tmp_path / "work").mkdir()
    printed = output_of(KILL, suite, store.path(shards.corpus), store.path(shards), tmp_path / "work").split()
    record_property("faults", printed[0])
    assert int(printed[0]) >= 30  # features, fits, and what is written at the end
    assert "out/results.json" in printed
    assert "out/predictions.parquet" in printed
