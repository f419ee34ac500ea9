"""Adding a layout takes three places, and no layout is without a reader, a corpus or a test."""

from collections.abc import Iterator
from inspect import getsourcefile
from pathlib import Path
from typing import get_args

import pytest

from wavlm.corpus.layouts import READERS
from wavlm.specs import Layout, Spec
from wavlm.specs.yaml import read_corpus

ROOT = Path(__file__).parents[3]
LAYOUTS: tuple[type[Spec], ...] = get_args(get_args(Layout)[0])


def files_that_name(word: str) -> Iterator[str]:
    for package in ("wavlm", "tasks", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            if word in path.read_text(encoding="utf-8"):
                yield path.relative_to(ROOT).as_posix()


def test_every_layout_of_the_specs_has_a_reader() -> None:
    assert set(READERS) == set(LAYOUTS)


def test_every_layout_is_used_by_a_shipped_corpus() -> None:
    corpora = (read_corpus(path) for path in (ROOT / "data_specs/corpora").glob("*.yaml"))
    assert {type(corpus.layout) for corpus in corpora} == set(LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_named_in_three_files(layout: type[Spec]) -> None:
    reader = getsourcefile(READERS[layout])
    assert reader is not None
    assert set(files_that_name(layout.__name__)) == {
        "wavlm/specs/layouts.py",
        "wavlm/corpus/layouts/__init__.py",
        Path(reader).relative_to(ROOT).as_posix(),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_in_a_test(layout: type[Spec]) -> None:
    assert f"{layout.__name__}(" in (Path(__file__).parent / "test_layouts.py").read_text(encoding="utf-8")
