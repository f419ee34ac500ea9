"""What a shell offers after TAB: recipes, corpora, iterations, registered models. Reads small files alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wavlm.errors import CodedError
from wavlm.specs.lookup import names_in, shipped_specs

if TYPE_CHECKING:
    from wavlm.specs import Recipe


def complete_recipe(incomplete: str) -> list[str]:
    """Names of shipped recipes. Where none fits, the shell offers files."""
    return [name for name in names_in(shipped_specs() / "recipes") if name.startswith(incomplete)]


def complete_corpus(context: typer.Context, incomplete: str) -> list[str]:
    """The corpora of the recipe that was typed before; all shipped ones if there is none."""
    from wavlm.pipeline.resolve import corpora_of

    recipe = _find_recipe(context)
    names = [spec.name for spec in corpora_of(recipe)] if recipe else names_in(shipped_specs() / "corpora")
    return [name for name in names if name.startswith(incomplete)]


def complete_iteration(context: typer.Context, incomplete: str) -> list[str]:
    """The numbers of the recipe's iterations."""
    recipe = _find_recipe(context)
    numbers = range(1, len(recipe.iterations) + 1) if recipe else ()
    return [text for text in map(str, numbers) if text.startswith(incomplete)]


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """NAME, NAME:VERSION and NAME@ALIAS of what the store has registered."""
    found = dict.fromkeys(_references(Path(context.params.get("store") or "store")))
    return [reference for reference in found if reference.startswith(incomplete)]


def _references(store: Path) -> Iterator[str]:
    from wavlm.pipeline.registration import REGISTRATION_FILE, RegistrationFacts
    from wavlm.storage.facts import read_facts

    for path in sorted(store.glob(f"register/*/{REGISTRATION_FILE}")):
        try:
            facts = read_facts(path, RegistrationFacts)
        except (CodedError, OSError):
            continue
        yield from (facts.name, f"{facts.name}:{facts.version}", *(f"{facts.name}@{alias}" for alias in facts.aliases))


def _find_recipe(context: typer.Context) -> Recipe | None:
    """The recipe among the words before. The parser gives up at an option without a value: they are in `args` then."""
    from wavlm.specs.yaml import read_recipe

    for word in filter(None, (context.params.get("recipe"), *context.args)):
        with suppress(CodedError):  # the command itself says what is wrong
            return read_recipe(word)
    return None
