"""Shares of corpora and languages: a slip in a recipe is said at its field, and changes nothing in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.field.recipes import write_recipe
from tests.folders import make_both, read_resolved, write_project
from wavlm.corpus.manifest import read_manifest
from wavlm.errors import CodedError
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store
from wavlm.shards import read_index
from wavlm.shards.facts import ShardsFacts
from wavlm.specs.yaml import read_recipe


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        ("{corpora: {weights: {myne: 2.0}}}", "myne is not among the speech corpora that are used here: mine"),
        ("{languages: {alpha: 1.5}}", "alpha"),
        ("{languages: {weights: {cs: -1.0}}}", "weights"),
        ("{language: {alpha: 0.5}}", "language"),
        ("{}", "sampling wants `languages`, `corpora` or both"),
    ],
)
def test_a_slip_in_the_shares_is_refused_with_its_line(tmp_path: Path, sampling: str, words: str) -> None:
    line = "      max_crop_seconds: 3.0\n"
    recipe = write_recipe(tmp_path, (line, f"{line}      sampling: {sampling}\n"))
    with pytest.raises(CodedError) as caught:
        read_recipe(recipe)
    number = recipe.read_text().splitlines().index(f"      sampling: {sampling}") + 1
    assert words in str(caught.value)
    assert f"{recipe}:{number}:" in str(caught.value)


def test_a_codebook_takes_one_kind_of_shares(tmp_path: Path) -> None:
    both = "num_clusters: 10, speech: [mine], shares: [1.0], sampling: {languages: {alpha: 0.5}}}"
    with pytest.raises(CodedError, match="leave one out"):
        read_recipe(write_recipe(tmp_path, ("num_clusters: 10}", both)))


def test_shares_change_the_key_of_the_model_and_of_no_labels(tmp_path: Path) -> None:
    line = "      max_crop_seconds: 3.0\n"
    plain = read_recipe(write_recipe(tmp_path / "a"))
    shares = read_recipe(write_recipe(tmp_path / "a", (line, f"{line}      sampling: {{languages: {{alpha: 0.5}}}}\n")))
    (before,), (after,) = (models(plan(item)) for item in (plain, shares))
    assert before.identity["train"] != after.identity["train"]
    assert before.labels[0].identity == after.labels[0].identity


def test_the_language_of_a_corpus_is_that_of_its_recordings(tmp_path: Path) -> None:
    recipe = write_project(tmp_path)
    spec = tmp_path / "specs" / "corpora" / "voices.yaml"
    spec.write_text(spec.read_text() + "language: cs\n")
    store = Store(tmp_path / "store")
    corpus, shards = make_both(read_resolved(recipe, store), store)
    assert {row.language for row in read_manifest(store.path(corpus))} == {"cs"}
    assert set(read_index(store.path(shards)).languages) == {"cs"}
    facts = store.facts(shards, ShardsFacts)
    assert list(facts.languages) == ["cs"]
    assert facts.languages["cs"].hours == facts.hours
