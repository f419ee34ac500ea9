"""Every error of the source has a documented code and one form, and docs/errors.md lists them as they are."""

from tests.docs.errors import PAGE, meanings, members, page, raises, trees, uses
from wavlm.errors import Code

SOURCES = trees()


def test_the_page_lists_the_codes_as_the_source_has_them() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_every_code_that_is_raised_is_documented() -> None:
    known = {str(code) for code in Code}
    assert {item.where: item.code for item in raises(SOURCES) if item.code and item.code not in known} == {}


def test_every_reason_and_note_about_a_recording_is_documented() -> None:
    assert set(members(SOURCES)) - set(Code) == set()


def test_every_documented_code_is_used_and_has_a_meaning_and_advice() -> None:
    assert set(Code) - uses(SOURCES) == set()
    assert list(meanings()) == sorted(meanings()) == [str(code) for code in Code]
    for code, text in meanings().items():
        assert text.meaning.endswith("."), code
        assert text.advice.endswith("."), code


def test_every_message_says_what_happened_where_and_what_to_do() -> None:
    """Counted by the semicolons that part them."""
    texts = {item.where: item.text for item in raises(SOURCES) if item.text is not None}
    assert {where: text for where, text in texts.items() if text.count("; ") < 2} == {}
