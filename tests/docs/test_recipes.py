"""Every field is documented, and docs/recipes.md holds the documentation of the code."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from tests.docs.reference import FILES, GUIDE, ROOT, documentation, models_of, rewrite
from wavlm.specs import Spec

DOCUMENTED = [model for root in FILES for model in models_of(root)]
FIELDS = [(model, name) for model in DOCUMENTED for name in model.model_fields]
SECTION = re.compile(r"\d+(?:\.\d+)?")


def test_the_reference_in_the_guide_is_the_one_of_the_code() -> None:
    text = GUIDE.read_text()
    assert text == rewrite(text), "run `make docs`"


def test_the_reference_holds_every_spec() -> None:
    def below(cls: type[Spec]) -> set[type[Spec]]:
        return {cls}.union(*(below(item) for item in cls.__subclasses__()))

    # A class with classes below it only holds what these share.
    specs = {cls for cls in below(Spec) if cls.__module__.startswith("wavlm.") and not cls.__subclasses__()}
    assert specs <= set(DOCUMENTED)


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_says_what_it_means(model: type[BaseModel], name: str) -> None:
    parts = documentation(model.model_fields[name])
    assert parts.meaning.endswith("."), f"{model.__name__}.{name} needs a docstring below it"
    assert all(part == "" or part.endswith(".") for part in parts)
    assert parts.change or model.model_fields[name].is_required(), "when is another value than the default right?"
    # Seconds, samples, frames and the like are not clear from the type.
    if name.endswith(("_seconds", "_frames", "_db", "_hz", "_bytes", "_megabytes", "_hours")):
        assert parts.unit


def test_every_section_that_a_field_names_exists() -> None:
    sections = _sections((ROOT / "docs" / "algorithm.md").read_text())
    named = 0
    for model, name in FIELDS:
        source = documentation(model.model_fields[name]).source
        for listed in re.findall(r"docs/algorithm\.md ([\d., ]*\d)", source):
            found = SECTION.findall(listed)
            named += len(found)
            assert set(found) <= sections, f"{model.__name__}.{name}: {source}"
    assert named > 40


def _sections(text: str) -> set[str]:
    """Numbers of headings, and of the items of numbered lists below them: item 9 of section 3 is 3.9."""
    found, chapter = set(), ""
    for line in text.splitlines():
        if heading := re.match(r"#+ (\d+(?:\.\d+)?)", line):
            chapter = heading[1]
            found.add(chapter)
        elif item := re.match(r"(\d+)\. ", line):
            found.add(f"{chapter}.{item[1]}")
    return found
