"""The language model of an evaluation: its bytes are part of the key, its place is not, and a missing one is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.evaluation.decoding.arpa import BIGRAMS, write_bigrams
from wavlm.errors import Code
from wavlm.evaluation.decoding.language_model import BINARY
from wavlm.pipeline.artifacts import Evaluation
from wavlm.pipeline.check.sources import find_missing_model
from wavlm.pipeline.language_models import (
    language_model_of,
    read_language_models,
    resolve_language_models,
    unknown_language_models,
)
from wavlm.pipeline.plan import plan
from wavlm.pipeline.request import set_missing_aside
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe, SuiteSpec
from wavlm.specs.evaluation import EvaluationSpec, FbankBaseline
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.yaml import find_suite, read_recipe


def decoded_by(path: Path, words: str = "") -> EvaluationSpec:
    spec = find_suite(Path("superb-asr")).evaluations[0]
    model = language_model_of(spec)
    assert model is not None
    assert spec.task.type == "asr"
    assert spec.task.decoder is not None
    decoder = spec.task.decoder.model_copy(
        update={"language_model": model.model_copy(update={"path": str(path), "words": words})}
    )
    return spec.model_copy(update={"task": spec.task.model_copy(update={"decoder": decoder})})


def key_with(path: Path, store: Store, words: str = "") -> str:
    suite = SuiteSpec(name="s", description="", evaluations=(decoded_by(path, words),))
    recipe = read_recipe("demo").model_copy(update={"evaluate": suite})
    read_language_models(recipe, store)
    found = resolve_language_models(recipe, store).evaluate
    assert found is not None
    model = language_model_of(found.evaluations[0])
    assert model is not None
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return key_of(canonical(found.evaluations[0]))


def test_another_place_is_the_same_key_and_another_file_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store")
    path = write_bigrams(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    first = key_with(path, store)
    assert key_with(write_bigrams(tmp_path / "elsewhere"), store) == first
    path.write_text(BIGRAMS.replace("-2.5", "-2.0"))
    assert key_with(path, store) != first


def test_the_key_is_not_known_before_the_language_model_was_read_nor_after_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store, path, words = Store(tmp_path / "store"), tmp_path / "lm.bin", tmp_path / "words.txt"
    path.write_bytes(BINARY)
    words.write_text("CAT\n")
    suite = SuiteSpec(
        name="s", description="", evaluations=(decoded_by(path, str(words)),), baselines=(FbankBaseline(type="fbank"),)
    )
    recipe = read_recipe("demo").model_copy(
        update={"iterations": (), "speech": (), "noise": (), "mixtures": None, "evaluate": suite}
    )

    def resolved() -> Recipe:
        """With the corpus as if it were known."""
        found = resolve_language_models(recipe, store)
        assert found.evaluate is not None
        (one,) = found.evaluate.evaluations
        known = one.model_copy(update={"corpora": (read_recipe("demo").speech[0],)})
        return found.model_copy(update={"evaluate": found.evaluate.model_copy(update={"evaluations": (known,)})})

    def evaluation() -> Evaluation:
        (found,) = (item for item in plan(resolved()) if isinstance(item, Evaluation))
        return found

    assert not evaluation().is_known
    assert evaluation().key.startswith("?")
    assert unknown_language_models(resolved()) == ("superb-asr",)
    read_language_models(recipe, store)
    first = evaluation().key
    assert evaluation().is_known
    assert unknown_language_models(resolved()) == ()
    words.write_text("CAT\nCUT\n")
    assert not evaluation().is_known
    read_language_models(recipe, store)
    assert evaluation().is_known
    assert evaluation().key != first
    path.unlink()
    assert unknown_language_models(resolved()) == ()  # nothing can be read: the check says so


def test_an_evaluation_without_its_language_model_is_set_aside_and_named(tmp_path: Path) -> None:
    here, gone = decoded_by(write_bigrams(tmp_path)), decoded_by(tmp_path / "gone.arpa")
    suite = SuiteSpec(name="s", description="", evaluations=(here, gone.model_copy(update={"name": "other"})))
    left, missing = set_missing_aside(suite)
    assert [item.name for item in left.evaluations] == ["superb-asr"]
    assert [error.code for error in missing] == [Code.LM_MISSING]
    assert "gone.arpa" in str(missing[0])


def test_the_words_of_a_binary_file_are_part_of_the_key_and_their_place_is_not(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store, path, words = Store(tmp_path / "store"), tmp_path / "lm.bin", [tmp_path / "one.txt", tmp_path / "two.txt"]
    path.write_bytes(BINARY)
    for place in words:
        place.write_text("CAT\n")
    first = key_with(path, store, str(words[0]))
    assert key_with(path, store, str(words[1])) == first
    words[1].write_text("CAT\nCUT\n")
    assert key_with(path, store, str(words[1])) != first


@pytest.mark.parametrize(("words", "code"), [("", Code.LM_UNREADABLE), ("/nowhere/words.txt", Code.LM_MISSING)])
def test_a_binary_file_without_its_words_is_found_before_any_work(tmp_path: Path, words: str, code: Code) -> None:
    (tmp_path / "lm.bin").write_bytes(BINARY)
    (problem,) = find_missing_model(decoded_by(tmp_path / "lm.bin", words))
    assert problem.code == code
    assert "`words`" in str(problem)
