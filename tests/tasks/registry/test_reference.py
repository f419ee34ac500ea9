"""What a reference may mean, the likeliest first; and texts on MLflow's pages, which are ours or a person's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.registry.reference import _readings
from tasks.registry.words import SIGNATURE, write_words


@pytest.mark.parametrize(
    ("reference", "readings"),
    [
        ("demo", [("demo", "")]),
        ("demo:3", [("demo", ":3")]),
        ("demo:03", [("demo", ":3")]),
        ("demo@champion", [("demo", "@champion"), ("demo@champion", "")]),
        ("a@b@champion", [("a@b", "@champion"), ("a@b@champion", "")]),
        ("models:/demo/3", [("demo", ":3")]),
        ("models:/demo:3", [("demo", ":3")]),
        ("models:/demo@champion", [("demo", "@champion"), ("demo@champion", "")]),
        ("models:/demo", [("demo", "")]),
        ("demo/3", []),
        ("demo:", []),
        (":3", []),
        ("demo:x", []),
        ("demo:\u0663", []),  # a digit, but not ours
        ("@champion", [("@champion", "")]),
        ("  ", []),
        ("", []),
    ],
)
def test_readings_of_a_reference(reference: str, readings: list[tuple[str, str]]) -> None:
    assert list(_readings(reference)) == readings


class Client:
    """A registry that holds two texts and notes what is written."""

    def __init__(self, of_model: str, of_version: str) -> None:
        self.texts = {"model": of_model, "version": of_version}
        self.tags: dict[tuple[str, str], str] = {}

    def get_registered_model(self, _: str) -> Any:
        return SimpleNamespace(description=self.texts["model"])

    def get_model_version(self, _name: str, _version: str) -> Any:
        return SimpleNamespace(description=self.texts["version"])

    def update_registered_model(self, _: str, text: str) -> None:
        self.texts["model"] = f"new {text}"

    def update_model_version(self, _name: str, _version: str, text: str) -> None:
        self.texts["version"] = f"new {text}"

    def set_tag(self, run: str, name: str, text: str) -> None:
        self.tags[run, name] = text


@pytest.mark.parametrize(
    ("before", "is_replaced"),
    [("", True), (None, True), ("  ", True), (f"old {SIGNATURE}", True), ("what a person wrote", False)],
)
def test_a_text_of_a_person_stays_and_ours_is_replaced(before: str, is_replaced: bool) -> None:
    client = Client(before, before)
    version: Any = SimpleNamespace(name="demo", version=3, run_id="r")
    write_words(SimpleNamespace(client=client), version, "a version", "a model")  # type: ignore[arg-type]
    after = {"model": "new a model", "version": "new a version"}
    assert client.texts == (after if is_replaced else {"model": before, "version": before})
    assert client.tags == {("r", "mlflow.note.content"): "a version"}


def test_a_text_that_is_right_is_not_written_again() -> None:
    client = Client(f"a {SIGNATURE}", f"b {SIGNATURE}")
    version: Any = SimpleNamespace(name="demo", version=3, run_id="r")
    write_words(SimpleNamespace(client=client), version, f"b {SIGNATURE}", f"a {SIGNATURE}")  # type: ignore[arg-type]
    assert client.texts == {"model": f"a {SIGNATURE}", "version": f"b {SIGNATURE}"}
