"""Targets: what people write is checked, and written in one form."""

import pytest

from wavlm.corpus.layouts.rows import RowError
from wavlm.corpus.layouts.target import add_class, make_target


def test_a_target_is_written_in_one_form_whatever_the_order_and_the_spaces_were() -> None:
    one = add_class('{ "b": [1, 2.5],  "a": "č" }', "ano")
    assert one == '{"a":"č","b":[1,2.5],"class":"ano"}'
    assert add_class('{"class":"ano","b":[1,2.5],"a":"č"}') == one
    assert make_target(b=(1, 2.5), class_="ano", a="č", translation=None) == one


def test_nothing_is_no_target() -> None:
    assert add_class("") is None
    assert make_target(class_=None) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"class": ""}', "class is ''"),
        ('{"class": 3}', "class is 3"),
        ('{"intent": {"action": ""}}', "intent is"),
        ('{"phones": []}', "phones is []"),
        ('{"phones": ["AH", ""]}', "phones is"),
        ('{"slots": [["city"]]}', "slots is"),
        ('{"turns": [[2, 1, "ann"]]}', "turns is"),
        ('{"turns": [[-1, 1, "ann"]]}', "turns is"),
        ('{"turns": [[0, 1]]}', "turns is"),
        ('{"scored": [[0, 1e999]]}', "scored is"),
        ('{"sources": "a"}', "sources is 'a'"),
        ('{"translation": " "}', "translation is"),
        ('{"mine": NaN}', "JSON cannot hold"),
        ('["class"]', "a JSON list"),
        ("{", "no JSON"),
    ],
)
def test_a_target_with_a_wrong_value_is_refused(text: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        add_class(text)
    assert message in str(caught.value)


def test_two_classes_of_one_recording_are_refused() -> None:
    with pytest.raises(RowError, match="the class is 'no', that of the target 'yes'"):
        add_class('{"class": "yes"}', "no")


def test_other_names_may_hold_any_json() -> None:
    assert add_class('{"mine": {"x": [null, true]}}') == '{"mine":{"x":[null,true]}}'
