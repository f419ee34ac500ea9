"""Keys have only characters that every tool accepts, and the path can be recovered."""

import itertools
import re

import pytest

from wavlm.corpus.layouts import key_of, name_of
from wavlm.errors import BadDataError


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("121-121726-0000", "121-121726-0000"),
        ("ru_0001", "ru_0001"),
        ("digits/1", "digits__1"),
        ("en_US_f_Allison/digits/a-hundred", "en_US_f_Allison__digits__a-hundred"),
        ("two words", "two_x20words"),
        ("spk.1/utt.2", "spk_x2e1__utt_x2e2"),
        ("dialogový/ž", "dialogov_xc3_xbd___xc5_xbe"),
        ("a_/b", "a_x5f__b"),
        ("a/_b", "a___b"),
        ("_x41", "_x5fx41"),
        ("a__b", "a_x5f_b"),
    ],
)
def test_keys_are_readable_and_reversible(name: str, key: str) -> None:
    assert key_of(name) == key
    assert name_of(key) == name


def test_no_two_names_share_a_key() -> None:
    """All names of up to five of the characters that escapes are made of."""
    names = ["".join(letters) for length in range(1, 6) for letters in itertools.product("_/x4 ", repeat=length)]
    keys = [key_of(name) for name in names]
    assert len(set(keys)) == len(names)
    assert [name_of(key) for key in keys] == names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in keys)


@pytest.mark.parametrize("name", ["", "a" * 201, "ž" * 30])
def test_names_without_a_usable_key_are_refused(name: str) -> None:
    with pytest.raises(BadDataError, match="KEY_BAD"):
        key_of(name)
