"""Names of flow runs: ours, unless a person gave one."""

from __future__ import annotations

import pytest
from prefect.utilities.names import generate_slug

from tasks.orchestration.names import describe_run, is_made_up

STAGE = {"kind": "labels", "recipe": "data_specs/recipes/demo.yaml", "iteration": 2, "corpus": "ru", "redo": True}


def test_a_name_says_kind_recipe_iteration_corpus_and_redo() -> None:
    assert describe_run("stage", STAGE) == "labels demo, iteration 2, corpus ru, redo"
    assert describe_run("pretrain", {"recipe": "demo", "until": "labels", "iteration": None}) == (
        "pretrain demo, until labels"
    )


def test_names_that_prefect_makes_up_are_replaced() -> None:
    for _ in range(200):  # of its server, for schedules and for its command line
        assert is_made_up(name := generate_slug(2)), name
    for name in ("nu60-betelguese-z", "lambda2-chandra-boundary", "epsilon6-canis-majoris"):  # of its form
        assert describe_run("prepare", {"recipe": "demo"}, name) == "prepare demo"


@pytest.mark.parametrize("name", ["for Tuesday", "beta-test", "retry", "prepare demo", "my-run", "run-2", "loon"])
def test_a_name_that_a_person_gave_stays(name: str) -> None:
    assert describe_run("prepare", {"recipe": "demo"}, name) == name


def test_a_name_that_may_be_a_persons_is_kept_in_brackets() -> None:
    """The form of Prefect's second interface proposes such names."""
    assert describe_run("prepare", {"recipe": "demo"}, "Handmade-Numbat") == "prepare demo (Handmade-Numbat)"
