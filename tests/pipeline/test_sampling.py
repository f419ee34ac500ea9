"""Before training: how often each language will be taken, what is refused; after it: what came of each part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tasks.conftest import SHARDS, build, quality, recipe_of, spec_of
from wavlm.execution import metrics
from wavlm.execution.runtime import Runtime
from wavlm.labels.facts import LabelsFacts
from wavlm.pipeline.artifacts import Artifact, Codebook, Labels, Model, Shards
from wavlm.pipeline.check import Remark, find
from wavlm.pipeline.parts import PartFigures, read_parts
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.results import IterationResults
from wavlm.pipeline.sampling import describe_times
from wavlm.pipeline.shares import describe_shares
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import Summary
from wavlm.pipeline.tables import MOST_LANGUAGES, tables
from wavlm.shards.facts import LanguageFacts
from wavlm.specs import BalanceSpec, Recipe, SamplingSpec
from wavlm.storage.facts import Facts

EQUAL = SamplingSpec(languages=BalanceSpec(alpha=0.0))


def language(hours: float, rejected: int = 0) -> LanguageFacts:
    return LanguageFacts(
        recordings=100 + rejected, excluded=0, rejected=rejected, utterances=100, hours=hours + 0.1, valid_hours=0.1
    )


def recipe_with(sampling: SamplingSpec | None, hours: tuple[float, float] = (90.0, 10.0)) -> Recipe:
    """One iteration on English and Czech, of so many expected hours."""
    recipe = recipe_of(None)
    speech = tuple(
        spec_of(name, "speech").model_copy(update={"expected_hours": value, "language": name[:2]})
        for name, value in zip(("english", "czech"), hours, strict=True)
    )
    first = recipe.iterations[0]
    first = first.model_copy(
        update={
            "train": first.train.model_copy(update={"sampling": sampling}),
            "codebook": first.codebook.model_copy(update={"sampling": sampling}),
        }
    )
    return recipe.model_copy(update={"speech": speech, "iterations": (first,)})


def model_of(recipe: Recipe) -> Model:
    (model,) = models(plan(recipe))
    return model


def made(store: Store, artifact: Artifact, languages: dict[str, LanguageFacts]) -> None:
    """The artifact and what it needs; shards of English have these languages, too."""

    def make(item: Artifact, out: Path) -> Facts:
        facts = build(item, store, out)
        if isinstance(item, Shards) and item.corpus.name == "english":
            return SHARDS.model_copy(update={"languages": languages})
        if isinstance(item, Labels) and item.shards.corpus.name == "english":
            assert isinstance(facts, LabelsFacts)
            return facts.model_copy(update={"quality_by_language": {"en": quality(0.5), "sw": quality(0.25)}})
        if isinstance(item, Model):
            record: metrics.MetricsRecord = {
                "update": 40, "heard/corpus/english": 7200.0, "heard/language/sw": 3600.0, "valid/czech/loss": 3.25,
                "valid_language/sw/loss": 2.5, "valid_language/sw/masked_accuracy": 0.25,
            }  # fmt: skip
            metrics.append(out / "metrics.jsonl", record)
        return facts

    for item in (*artifact.needs, artifact):
        if not store.is_complete(item):
            if item is not artifact:
                made(store, item, languages)
            else:
                store.make(item, lambda out, item=item: make(item, out))


def test_the_plan_says_how_often_an_epoch_takes_each_group(tmp_path: Path) -> None:
    model = model_of(recipe_with(EQUAL))
    assert describe_times(model, Store(tmp_path)) == "per epoch: czech cz 5 times, english en 0.556 times"
    assert model.codebook is not None
    assert describe_shares(model.codebook, Store(tmp_path)) == "sample: english 50.0%, czech 50.0%"
    assert describe_times(model_of(recipe_with(None)), Store(tmp_path)) == ""
    unknown = model_of(recipe_with(EQUAL, (90.0, 0.0)))
    assert describe_times(unknown, Store(tmp_path)) == "per epoch: not known before the hours of its speech are"


def test_hours_of_languages_in_the_store_come_before_those_of_the_publisher(tmp_path: Path) -> None:
    store, model = Store(tmp_path), model_of(recipe_with(EQUAL))
    for item in model.shards:
        made(store, item, {"en": language(0.7), "sw": language(0.2)})
    # English 0.7 h, Swahili 0.2 h, and Czech 1.4 h of train: a third of 2.3 h each.
    found = describe_times(model, store)
    assert found == "per epoch: english sw 3.83 times, english en 1.1 times, czech cz 0.548 times"


def found_by_check(recipe: Recipe, store: Store) -> list[str]:
    artifacts = tuple(item for item in plan(recipe) if isinstance(item, Codebook | Model))
    return [
        str(item) if not isinstance(item, Remark) else item.text for item in find(recipe, artifacts, store, Runtime())
    ]


def test_a_weight_of_a_language_that_the_shards_do_not_have_is_found_before_anything_runs(tmp_path: Path) -> None:
    wrong = recipe_with(SamplingSpec(languages=BalanceSpec(weights={"sv": 2.0})))
    store = Store(tmp_path)
    assert not [text for text in found_by_check(wrong, store) if text.startswith("SAMPLING")]  # not known yet
    for item in model_of(wrong).shards:
        made(store, item, {"en": language(0.7), "sw": language(0.2)})
    (problem, *_) = [text for text in found_by_check(wrong, store) if text.startswith("SAMPLING")]
    assert "no utterance to train on is of language sv" in problem
    assert "cz, en, sw" in problem


def test_speech_that_is_repeated_very_often_is_warned_of(tmp_path: Path) -> None:
    recipe = recipe_with(EQUAL, (990.0, 10.0))
    assert any("takes czech cz 50 times per epoch" in text for text in found_by_check(recipe, Store(tmp_path)))


def test_a_weight_of_a_corpus_that_an_iteration_does_not_use_is_refused_at_its_field() -> None:
    recipe = recipe_with(SamplingSpec(corpora=BalanceSpec(weights={"czech": 2.0})))
    fields = recipe.model_dump(mode="json")
    fields["iterations"][0]["speech"] = ["english"]
    with pytest.raises(ValueError, match="czech is not among the speech corpora that are used here: english"):
        Recipe.model_validate(fields, strict=False)


def test_the_figures_of_each_part_are_read_from_the_store(tmp_path: Path) -> None:
    store, model = Store(tmp_path), model_of(recipe_with(EQUAL))
    made(store, model, {"en": language(0.7), "sw": language(0.2, rejected=3)})
    parts = {(item.kind, item.name): item for item in read_parts(model, store)}
    assert list(parts) == [("corpus", "english"), ("corpus", "czech"), ("language", "en"), ("language", "sw")]
    swahili, czech = parts["language", "sw"], parts["corpus", "czech"]
    assert (swahili.recordings, swahili.rejected, swahili.train_hours, swahili.heard_hours) == (103, 3, 0.2, 1.0)
    assert (swahili.times_heard, swahili.valid_loss, swahili.masked_accuracy, swahili.pnmi) == (5.0, 2.5, 0.25, 0.25)
    assert (czech.valid_loss, czech.heard_hours, czech.times_heard) == (3.25, None, None)
    assert parts["corpus", "english"].times_heard == pytest.approx(2.0 / 1.4)


def test_many_languages_make_no_endless_table() -> None:
    many = tuple(PartFigures("language", f"x{n}", 1, 0, 1.0, 1.0, 0.1, 2.0, 0.5, None) for n in range(200))
    result = IterationResults(1, None, None, None, parts=many)
    empty: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("corpora", "mixtures", "versions", "plots", "listen", "findings", "advice", "missing"), ()
    )
    found = dict(tables(Summary(results=(result,), **empty)))  # type: ignore[arg-type]
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in found), "Prefect takes no other keys"
    rows = found["speech"]
    assert len(rows) == MOST_LANGUAGES + 1
    assert rows[0] == {
        "iteration": "1", "of": "language x0", "rejected": "0 of 1", "hours of train": "1.00", "hours heard": "1.00",
        "times": "1.00", "valid loss": "2.000", "masked accuracy": "50.0%", "PNMI": "",
    }  # fmt: skip
    assert rows[-1]["of"] == "170 more languages: see the report page"
