"""Adding a layout takes three places, and no layout is without a reader, a corpus or an example, and a test."""

import re
from collections.abc import Iterator
from inspect import getsourcefile
from pathlib import Path
from typing import get_args

import pytest
import yaml

from tests.corpus.layouts.trees import layout_of
from wavlm.corpus.layouts import READERS
from wavlm.specs import Layout, Spec
from wavlm.specs.containers import InContainers
from wavlm.specs.manifests import InManifests
from wavlm.specs.yaml import read_corpus

ROOT = Path(__file__).parents[3]
LAYOUTS: tuple[type[Spec], ...] = get_args(get_args(Layout)[0])
OF_TOOLS: tuple[type[Spec], ...] = get_args(InManifests) + get_args(
    InContainers
)  # no publisher's: examples in docs/layouts.md
GUESSES = {f"wavlm/pipeline/init/{name}.py" for name in ("detect", "publishers")}  # of some; no place of all
USES = {"wavlm/systems/diarization/fit.py"}  # a folder that `wavlm simulate` wrote
FOLDERS = (Path(__file__).parent, *(Path(__file__).parents[1] / name for name in ("publishers", "superb")))
TESTS = [path.read_text(encoding="utf-8") for folder in FOLDERS for path in folder.glob("test_*.py")]


def files_that_name(word: str) -> Iterator[str]:
    for package in ("wavlm", "tasks", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            if word in path.read_text(encoding="utf-8"):
                yield path.relative_to(ROOT).as_posix()


def test_every_layout_of_the_specs_has_a_reader() -> None:
    assert set(READERS) == set(LAYOUTS)


def test_every_layout_is_used_by_a_shipped_corpus() -> None:
    corpora = (read_corpus(path) for path in (ROOT / "data_specs/corpora").glob("*.yaml"))
    assert {type(corpus.layout) for corpus in corpora} >= set(LAYOUTS) - set(OF_TOOLS)


def test_every_layout_of_a_tool_has_an_example_in_the_guide() -> None:
    guide = (ROOT / "docs/layouts.md").read_text(encoding="utf-8")
    examples = [
        layout_of(**yaml.safe_load(text)["layout"]) for text in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    ]
    assert {type(layout) for layout in examples} == set(OF_TOOLS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_named_in_three_files(layout: type[Spec]) -> None:
    reader, spec = getsourcefile(READERS[layout]), getsourcefile(layout)
    assert reader is not None
    assert spec is not None
    found = set(files_that_name(layout.__name__)) - GUESSES - USES
    assert found == {
        Path(spec).relative_to(ROOT).as_posix(),
        "wavlm/corpus/layouts/__init__.py",
        Path(reader).relative_to(ROOT).as_posix(),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_in_a_test(layout: type[Spec]) -> None:
    (kind,) = get_args(layout.model_fields["type"].annotation)
    assert any(f"{layout.__name__}(" in text or re.search(f'type"?[=:] ?"{kind}"', text) for text in TESTS)
