"""Commands in messages can be pasted: with the recipe and the store that were typed, quoted for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.cli import hints
from flows.cli.hints import Given

TAKES_STORE = {"run": True, "sync": True, "stage": True, "import": False, "verify": True}


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints.shutil, "which", lambda name: f"/bin/{name}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X: gone; at a; once it answers, `wavlm sync RECIPE` uploads", "`wavlm sync 'my recipe.yaml' --store 'a b'`"),
        ("run that stage first: wavlm stage labels RECIPE", "wavlm stage labels 'my recipe.yaml' --store 'a b'"),
        ("wavlm stage KIND RECIPE --redo, then", "wavlm stage KIND 'my recipe.yaml' --redo --store 'a b', then"),
        ("wavlm run RECIPE  # goes on", "wavlm run 'my recipe.yaml' --store 'a b'  # goes on"),
        ("make it with `wavlm import`", "`wavlm import`"),
        ("RECIPE: no such field; at x", "RECIPE: no such field; at x"),
        ("wavlm run RECIPE --store c", "wavlm run 'my recipe.yaml' --store c"),
        ("the wavlm checkpoint of others", "the wavlm checkpoint of others"),
        ("in .venv/bin/wavlm run", "in .venv/bin/wavlm run"),
    ],
)
def test_a_command_in_a_message_gets_what_was_typed(text: str, expected: str) -> None:
    assert expected in Given("my recipe.yaml", "a b", TAKES_STORE).complete(text)


def test_what_was_not_typed_is_not_made_up() -> None:
    assert Given(takes_store=TAKES_STORE).complete("wavlm sync RECIPE") == "wavlm sync RECIPE"


def test_a_path_of_any_letters_stays_one_word() -> None:
    path = r"it's \1 $HOME; rm `x`.yaml"
    completed = Given(path, None, TAKES_STORE).complete("wavlm run RECIPE")
    assert shlex.split(completed) == ["wavlm", "run", path]


def test_a_hint_of_a_real_refusal_can_be_pasted(
    tiny_recipe: Path, tmp_path: Path, wavlm: object, environment: Mapping[str, str]
) -> None:
    """The hint is what a shell would run to make the missing input: recipe and store as they were typed."""
    store = tmp_path / "my store"
    done = wavlm("listen", tiny_recipe, tmp_path / "out", "--store", store)  # type: ignore[operator]
    assert done.returncode in (2, 65)
    hint = done.stderr[done.stderr.index("wavlm run") :] if "wavlm run" in done.stderr else done.stderr
    assert f"--store '{store}'" in hint
