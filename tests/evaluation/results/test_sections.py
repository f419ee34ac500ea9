"""The section of a suite in a card and a page: it is put there once, in its place, and carried into a new text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.results.test_groups import rate, result
from wavlm.evaluation.results.board import Board, StoredResult
from wavlm.evaluation.results.sections import card_section, carry_sections, page_section, put_section

FACTS = result("ks", rate("accuracy", 0.5), subject="a|b <c>", notes=("Heard & seen.",))
BOARD = Board((StoredResult(FACTS, "key", "conditions"),))


@pytest.mark.parametrize(
    ("text", "before"),
    [("# Card\n", "# Card\n\n<!--"), ("<main>old</main></body>", "<main>old<!--")],
)
def test_a_section_is_replaced_where_it_stands_and_carried_into_a_new_text(text: str, before: str) -> None:
    once = put_section(text, "small", "old results")
    assert once.startswith(before)
    other = put_section(once, "demo", "of demo")
    again = put_section(other, "small", "new results")
    assert "old results" not in again
    assert again.index("new results") < again.index("of demo")
    assert carry_sections(again, text, without="demo") == put_section(text, "small", "new results")
    assert carry_sections(again, text, without="none") == again
    assert carry_sections(text, again, without="none") == again


def test_names_are_text_and_no_markup_in_either(tmp_path: Path) -> None:
    (tmp_path / "layers.png").write_bytes(b"png")
    card = card_section("small", BOARD, [FACTS])
    assert "| a\\|b <c> | 50.00 % * | 50.0 |" in card
    assert "- *: Heard & seen. (a|b <c> on ks-small)" in card
    page = page_section("small", BOARD, [FACTS], tmp_path / "layers.png")
    assert "<tr><td>a|b &lt;c&gt;</td><td>50.00 % *</td><td>50.0</td></tr>" in page
    assert "Heard &amp; seen." in page
    assert 'src="data:image/png;base64,cG5n"' in page
    assert "<img" not in page_section("small", BOARD, [FACTS], None)
