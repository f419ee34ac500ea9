"""The language models that evaluations and systems of a recipe decode with, and the digests that make them known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.decoding.language_model import place_of_model, place_of_words
from wavlm.pipeline.digests import cached_sha256, known_sha256
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.decoders import ArpaModel
from wavlm.specs.evaluation import EvaluationSpec
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.tasks import WritesTexts

Decoding = EvaluationSpec | FinetuneSpec
D = TypeVar("D", EvaluationSpec, FinetuneSpec)


def language_model_of(spec: Decoding) -> ArpaModel | None:
    """The file that an evaluation or a system decodes with; None if there is none."""
    return spec.task.language_model_file if isinstance(spec.task, WritesTexts) else None


def unknown_language_models(resolved: Recipe) -> tuple[str, ...]:
    """Names of evaluations and systems of a resolved recipe whose language model is there, and has to be read."""
    every: list[Decoding] = [*(resolved.evaluate.evaluations if resolved.evaluate else ()), *resolved.finetune]
    return tuple(it.name for it in every if (model := language_model_of(it)) and not model.sha256 and _is_there(model))


def resolve_language_models(recipe: Recipe, store: Store) -> Recipe:
    """The recipe with the digest of each language model that the store knows as it is."""
    return _fill_in(recipe, lambda path: known_sha256(path, store.root))


def read_language_models(recipe: Recipe, store: Store) -> None:
    """Hash the language models that are new or have changed; one that is missing is what a check finds."""
    _fill_in(recipe, lambda path: cached_sha256(path, store.root))


def _fill_in(recipe: Recipe, digest_of: Callable[[Path], str | None]) -> Recipe:
    changed: dict[str, object] = {}
    if recipe.finetune:
        changed["finetune"] = tuple(_fill_one(spec, digest_of) for spec in recipe.finetune)
    if (suite := recipe.evaluate) is not None:
        evaluations = tuple(_fill_one(spec, digest_of) for spec in suite.evaluations)
        changed["evaluate"] = suite.model_copy(update={"evaluations": evaluations})
    return recipe.model_copy(update=changed)


def _is_there(model: ArpaModel) -> bool:
    try:
        place_of_words(model)  # and of the model itself
    except (UsageError, BadDataError):
        return False
    return True


def _with_digests(model: ArpaModel, digest_of: Callable[[Path], str | None]) -> ArpaModel:
    """The model with the digests of its files that are there. What is missing is found by a check before a run.

    A model is known with its words: as long as those are not, it has no digest.
    """
    changed: dict[str, str | None] = {}
    with suppress(UsageError, BadDataError):
        if model.sha256 is None:
            changed["sha256"] = digest_of(place_of_model(model))
        if model.words_sha256 is None and (words := place_of_words(model)):
            changed["words_sha256"] = digest_of(words)
            if changed["words_sha256"] is None:
                changed["sha256"] = None
    return model.model_copy(update=changed)


def _fill_one(spec: D, digest_of: Callable[[Path], str | None]) -> D:
    model = language_model_of(spec)
    if model is None:
        return spec
    known = _with_digests(model, digest_of)
    assert isinstance(spec.task, WritesTexts)  # noqa: S101 - it has a language model
    assert spec.task.decoder is not None  # noqa: S101 - the same
    decoder = spec.task.decoder.model_copy(update={"language_model": known})
    return spec.model_copy(update={"task": spec.task.model_copy(update={"decoder": decoder})})
