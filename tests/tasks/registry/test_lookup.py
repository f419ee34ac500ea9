"""What others rely on when they look a model up: the words of the registry, and a folder that is whole or hidden."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.registry import lookup, versions


def test_words_that_other_programs_look_up() -> None:
    """`models:/NAME@champion` stands in cards, pages and people's scripts; so do the names of tags and folders."""
    words = (versions.CHAMPION, versions.VERDICT_TAG, versions.MODEL_FOLDER, versions.NATIVE_FOLDER)
    assert words == ("champion", "wavlm.gate", "hf", "native")
    assert versions.MODEL_FILES == ("model.safetensors", "network.json")


def test_a_pull_is_hidden_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, seen = tmp_path / "models" / "base", []

    def fetch(_registry: Any, _version: Any, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"weights")
        seen.extend(path.name for path in out.parent.iterdir())

    monkeypatch.setattr(lookup, "looking", lambda *_: nullcontext(SimpleNamespace()))
    monkeypatch.setattr(lookup, "find_version", lambda *_: SimpleNamespace(tags={}))
    monkeypatch.setattr(lookup, "_require_digests", lambda _: None)
    monkeypatch.setattr(lookup, "fetch_model", fetch)
    lookup.pull_model(SimpleNamespace(), "base", out)  # type: ignore[arg-type]
    assert len(seen) == 1
    assert seen[0].startswith(".base."), "a listing of the folder does not show it"
    assert [path.name for path in out.parent.iterdir()] == ["base"]
