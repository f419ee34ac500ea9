"""Protocols: a result stands beside published figures only if it equals the evaluation that is shipped for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.facts import CORPUS, SHARDS
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.evaluation.results.published import explain_difference, read_published
from wavlm.pipeline.artifacts import Corpus, Evaluation, Shards
from wavlm.pipeline.protocols import check_protocols, find_shipped
from wavlm.pipeline.scoreboard import read_stored_results
from wavlm.pipeline.store import Store
from wavlm.specs import EvaluationSpec
from wavlm.specs.evaluation import FbankBaseline

KS = find_shipped("superb/ks")
SID = find_shipped("superb/sid")


@dataclass(frozen=True)
class Made:
    """A store with one evaluation, whose corpora hold so many hours."""

    store: Store
    hours: float = 352.0

    def evaluate(self, spec: EvaluationSpec) -> Evaluation:
        shards = tuple(Shards(spec.shards, Corpus(it)) for it in spec.corpora)
        for item in shards:
            self.store.make(item.corpus, lambda _: CORPUS)
            self.store.make(item, lambda _: SHARDS.model_copy(update={"hours": self.hours}))
        found = Evaluation(spec, FbankBaseline(type="fbank"), shards)
        facts = EvaluationFacts(
            evaluation=spec.name,
            task=spec.task.type,
            subject="fbank",
            reality=spec.reality,
            protocol=spec.protocol,
            figures=(Figure(name="accuracy", value=0.5),),
        )
        self.store.make(found, lambda _: facts)
        return found

    def explain(self) -> str:
        (result,) = check_protocols(read_stored_results(self.store), self.store)
        return explain_difference(result.facts)


def change(spec: EvaluationSpec | None, **fields: object) -> EvaluationSpec:
    assert spec is not None
    return EvaluationSpec.model_validate({**dict(spec), **fields})


def own_folder(spec: EvaluationSpec | None, path: Path) -> EvaluationSpec:
    """The evaluation with its corpus in a folder whose content is known."""
    assert spec is not None
    (corpus,) = spec.corpora
    assert corpus.folder is not None
    source = corpus.folder.model_copy(update={"path": str(path), "content": "c" * 64})
    return change(spec, corpora=(corpus.model_copy(update={"sources": (source,)}),))


def test_the_shipped_evaluation_with_another_search_is_the_protocol(tmp_path: Path) -> None:
    assert KS is not None
    assert KS.fit is not None
    searched = KS.fit.model_copy(update={"learning_rates": (1e-4,), "seeds": (1, 2)})
    made = Made(Store(tmp_path))
    made.evaluate(change(KS, name="mine", fit=searched, single_layers=False))
    assert made.explain() == ""


def test_a_corpus_in_a_folder_of_ones_own_is_told_by_name_layout_and_hours(tmp_path: Path) -> None:
    whole, tones = Made(Store(tmp_path / "a")), Made(Store(tmp_path / "b"), hours=0.01)
    for made in (whole, tones):
        made.evaluate(own_folder(SID, tmp_path))
    assert whole.explain() == ""
    assert tones.explain() == "voxceleb1-identification holds 0.01 h of the 352 h that were published"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"split": {"type": "parts", "train": ("train",), "dev": ("dev",), "test": ("valid",)}},
            "another split than superb-ks has",
        ),
        (
            {"fit": {"learning_rates": (1e-3,), "updates": 20, "batch": 8, "dev_every": 10}},
            "another fit than superb-ks has",
        ),
        ({"head": {"type": "pooled_linear", "projection": 8}}, "another head than superb-ks has"),
        ({"shards": {"min_seconds": 0.1, "max_seconds": 2.0}}, "packed in another way"),
        ({"protocol": "superb/er"}, "no evaluation that we ship follows superb/er"),
    ],
)
def test_what_a_result_does_otherwise_is_said(fields: dict[str, object], why: str, tmp_path: Path) -> None:
    made = Made(Store(tmp_path))
    made.evaluate(change(KS, **{"name": "mine", **fields}))
    assert why in made.explain()


def test_other_speech_under_the_name_of_a_protocol_or_of_its_corpus_is_not_the_same(tmp_path: Path) -> None:
    assert KS is not None
    (corpus,) = KS.corpora
    tones = corpus.model_copy(update={"name": "tones"})
    made = Made(Store(tmp_path / "a"))
    made.evaluate(change(KS, name="my-ks", corpora=(tones,)))
    assert made.explain() == "its data are tones, not speech-commands"
    forged = tuple(it.model_copy(update={"sha256": "a" * 64}) for it in corpus.sources)
    made = Made(Store(tmp_path / "b"))
    made.evaluate(change(KS, corpora=(corpus.model_copy(update={"sources": forged}),)))
    assert made.explain() == "speech-commands is not made from the published archives"


def test_synthetic_speech_is_no_claim_by_the_name_of_a_protocol(tmp_path: Path) -> None:
    made = Made(Store(tmp_path))
    made.evaluate(change(KS, name="mine", protocol="superb/sf", reality="synthetic"))
    (before,) = read_stored_results(made.store)
    (after,) = check_protocols([before], made.store)
    assert before.facts.is_claim
    assert not after.facts.is_claim


def test_nothing_is_comparable_once_its_corpora_are_gone(tmp_path: Path) -> None:
    assert KS is not None
    made = Made(Store(tmp_path))
    evaluation = made.evaluate(KS)
    made.store.redo(evaluation.shards[0].corpus)
    assert "no longer in the store" in made.explain()


def test_each_shipped_protocol_is_found_by_its_name() -> None:
    protocols = {row.protocol for row in read_published() if row.protocol}
    found = {name for name in protocols if find_shipped(name)}
    assert found == {f"superb/{task}" for task in ("pr", "asr", "ks", "qbe", "sid", "sd", "ic", "sf", "se", "ss")}
