"""Links between documents lead somewhere, and files of the source that documents name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if ".venv" not in path.parts
)
# These name files of a reader who adds something; their own tests run what they show.
WITH_NEW_FILES = {Path("docs/extend.md"), Path("docs/your-own-speech.md"), Path("docs/recipes.md")}
SOURCE_FILE = re.compile(r"`((?:wavlm|tasks|flows|tests|benchmarks|docs|data_specs)/[\w./-]*\.\w+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_link_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)[^):]*\)", (ROOT / document).read_text())
    assert [target for target in targets if not (ROOT / document.parent / target).exists()] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path not in WITH_NEW_FILES], ids=str)
def test_a_named_file_of_the_source_exists(document: Path) -> None:
    named = SOURCE_FILE.findall((ROOT / document).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
