"""Every name in the code that docs/glossary.md gives is defined in a file or folder that it gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def entries() -> Iterator[tuple[str, list[str], list[str]]]:
    """Per row: the word, its names in the code, and the files and folders where they are defined."""
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines():
        if line.startswith("|") and not line.startswith(("| word |", "|---")):
            word, _, code, where = (cell.strip() for cell in line.strip("|").split("|"))
            yield word, re.findall(r"`([^`]+)`", code), re.findall(r"`([^`]+)`", where)


ENTRIES = list(entries())


@cache
def names_defined_in(place: str) -> frozenset[str]:
    """Names of functions, classes, variables, parameters and fields in a Python file, or in those of a folder."""
    path = ROOT / place
    nodes = [
        node
        for file in ([path] if path.is_file() else path.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
    ]
    return frozenset(
        [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        + [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        + [node.arg for node in nodes if isinstance(node, ast.arg)]
    )


def test_the_glossary_has_its_words_once() -> None:
    words = [word for word, _, _ in ENTRIES]
    assert len(words) > 60
    assert sorted(set(words)) == sorted(words)


@pytest.mark.parametrize(("word", "names", "places"), ENTRIES, ids=[word for word, _, _ in ENTRIES])
def test_an_entry_names_what_exists(word: str, names: list[str], places: list[str]) -> None:
    assert names
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []
    defined = frozenset[str]().union(*(names_defined_in(place) for place in places))
    assert [name for name in names if name not in defined] == []
