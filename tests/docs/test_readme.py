"""The README is short: what a reader takes in at once."""

from __future__ import annotations

from pathlib import Path

from tests.docs.commands import shown_commands

ROOT = Path(__file__).parents[2]
MAX_WORDS = 1800


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= MAX_WORDS


def test_the_readme_shows_ten_commands_and_how_a_cluster_begins() -> None:
    shown = [item for item in shown_commands() if item.document.name == "README.md"]
    assert len([item for item in shown if item.program == "wavlm"]) == 11
