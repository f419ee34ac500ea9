"""The shipped evaluations and suites are whole: they are read, planned, and their tasks know their heads."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.data_specs.golden import SPECS
from wavlm.evaluation.tasks.choose import make_task
from wavlm.pipeline.artifacts import Evaluation
from wavlm.pipeline.plan import plan
from wavlm.specs import CorpusSpec, Recipe, ShardSpec
from wavlm.specs.evaluation import RandomBaseline
from wavlm.specs.yaml import read_evaluation, read_network, read_suite

EVALUATIONS = {path.stem: read_evaluation(path) for path in sorted((SPECS / "evaluations").glob("*.yaml"))}
SUITES = sorted((SPECS / "suites").glob("*.yaml"))
SUPERB = [name for name in EVALUATIONS if name.startswith("superb-")]
PUBLISHED = SPECS.parent / "docs" / "evaluation" / "published.csv"
# s3prl at ec8064b, downstream/*/*.yaml: learning rate, updates, utterances per update, updates between looks at dev.
REFERENCE = {
    "superb-asv": (1e-4, 200_000, 10 * 5, 20_000),
    "superb-sd": (1e-4, 30_000, 8 * 4, 500),
    "superb-ks": (1e-4, 200_000, 32, 5000),
    "superb-sid": (1e-4, 200_000, 8 * 4, 5000),
    "superb-ic": (1e-4, 200_000, 32, 5000),
    "superb-er": (1e-4, 30_000, 4 * 8, 1000),
    "superb-pr": (1e-2, 100_000, 16 * 2, 1000),
    "superb-asr": (1e-4, 200_000, 32, 2000),
    "superb-sf": (1e-4, 200_000, 32, 2000),
    "superb-ood-asr-es": (1e-4, 500_000, 16, 2000),
    "superb-ood-asr-ar": (1e-4, 500_000, 16, 5000),
    "superb-ood-asr-zh": (1e-4, 500_000, 16, 5000),
    "superb-ood-asr-spontaneous": (1e-4, 500_000, 16, 2000),
}


def fill(spec: CorpusSpec) -> CorpusSpec:
    """A corpus as if the content of its folder or archive were known."""
    known = {item: item.model_copy(update={"sha256": "0" * 64}) for item in spec.unpinned}
    sources = tuple(known.get(item, item) for item in spec.sources)
    if spec.folder is not None:
        sources = (spec.folder.model_copy(update={"content": "0" * 64}),)
    return spec.model_copy(update={"sources": sources})


@pytest.mark.parametrize("name", sorted(EVALUATIONS))
def test_every_evaluation_has_a_task_and_reads_corpora_for_evaluations(name: str) -> None:
    spec = EVALUATIONS[name]
    assert spec.name == name
    assert make_task(spec)
    assert {corpus.role for corpus in spec.corpora} == {"evaluation"}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_is_planned_for_each_baseline(path: Path) -> None:
    suite = read_suite(path)
    filled = tuple(item.model_copy(update={"corpora": tuple(map(fill, item.corpora))}) for item in suite.evaluations)
    network = read_network(SPECS / "networks" / "tiny.yaml")
    baselines = tuple(
        item.model_copy(update={"network": network}) if isinstance(item, RandomBaseline) else item
        for item in suite.baselines
    )
    recipe = Recipe(
        name="only-suite",
        description="",
        registry_name="only-suite",
        shards=ShardSpec(min_seconds=1.0, max_seconds=30.0),
        evaluate=suite.model_copy(update={"evaluations": filled, "baselines": baselines}),
    )
    found = [item for item in plan(recipe) if isinstance(item, Evaluation)]
    assert len(found) == len(suite.evaluations) * len(suite.baselines)
    assert len({item.key for item in found}) == len(found)
    assert any(isinstance(item, RandomBaseline) for item in suite.baselines)  # a claim is the difference to it


def test_the_suite_superb_has_every_evaluation_of_superb() -> None:
    suite = read_suite(SPECS / "suites" / "superb.yaml")
    assert sorted(item.name for item in suite.evaluations) == sorted(SUPERB)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_evaluations_of_superb_fit_as_the_reference_does_and_search_around_its_learning_rate(name: str) -> None:
    fit = EVALUATIONS[name].fit
    assert fit is not None
    learning_rate, updates, batch, dev_every = REFERENCE[name]
    assert fit.optimizer == ("adamw" if name == "superb-asv" else "adam")
    assert (fit.updates, fit.batch, fit.dev_every) == (updates, batch, dev_every)
    assert min(fit.learning_rates) < learning_rate < max(fit.learning_rates) or name == "superb-sid"
    assert learning_rate in fit.learning_rates
    assert fit.patience >= updates // dev_every  # as the reference, to the last update
    assert EVALUATIONS[name].max_utterances is None


def test_protocols_are_those_of_published_figures_and_of_evaluations_of_superb_alone() -> None:
    with PUBLISHED.open(newline="") as file:
        known = {row["protocol"] for row in csv.DictReader(file)}
    claimed = {name: spec.protocol for name, spec in EVALUATIONS.items() if spec.protocol}
    assert set(claimed) <= set(SUPERB)
    assert set(claimed.values()) <= known
    assert all(claimed[name] == f"superb/{EVALUATIONS[name].task.type}" for name in claimed)
