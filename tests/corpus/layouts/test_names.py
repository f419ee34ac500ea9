"""Keys have only characters that every tool accepts, and the path can be recovered."""

import hashlib
import itertools
import os
import re

import pytest

from wavlm.corpus.layouts import key_of, name_of, path_from_text, path_to_text
from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable


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


@pytest.mark.parametrize(
    "name",
    [
        "a" * 201,
        "ž" * 30,
        "/".join(["普通话语料库", "第一批录音", "说话人零零一", "普通话朗读句子第零零一号录音文件"]),
        "تسجيل صوتي طويل باللغة العربية ١٢",
        "😀" * 60 + "a",
        "_" * 300,
        "/".join(["x" * 255] * 15),
        os.fsdecode(b"\xe9" * 250),
    ],
)
def test_a_long_name_has_a_key_of_its_start_and_a_digest(name: str) -> None:
    key = key_of(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{36,200}", key)
    start, digest = key[:-36], key[-36:]
    assert digest == "_x00" + hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    assert key_of(name[:4]).startswith(start[:4])
    assert len({key_of(other) for other in (name, name + "b", "b" + name)}) == 3
    with pytest.raises(ValueError, match="digest"):
        name_of(key)


def test_a_name_of_any_bytes_has_a_key_and_comes_back() -> None:
    names = [os.fsdecode(bytes([byte])) for byte in range(1, 256) if byte != ord("/")]
    names += ["caf\udce9", "a\nb\tc", " a. ", "e\u0301", "\xe9", "A", "a"]
    keys = [key_of(name) for name in names]
    assert [os.fsencode(name_of(key)) for key in keys] == [os.fsencode(name) for name in names]
    assert len({*keys}) == len({*names})


def test_a_name_that_looks_like_a_digest_keeps_its_own_key() -> None:
    long = "x" * 300
    assert key_of(key_of(long)) != key_of(long)
    assert name_of(key_of("a/x00b")) == "a/x00b"
    assert name_of(key_of("a_x00b")) == "a_x00b"


def test_an_empty_name_has_no_key() -> None:
    with pytest.raises(BadDataError, match="KEY_BAD"):
        key_of("")


@pytest.mark.parametrize("path", ["/a/b.flac", "audio/é.wav", "/caf\udce9/\n.flac", "bytes:a%20b", "a%20b", "/e\u0301"])
def test_a_path_survives_as_text(path: str) -> None:
    text = path_to_text(path)
    assert text.encode()
    assert path_from_text(text) == path
    assert (text == path) == ("\udce9" not in path and not path.startswith("bytes:"))


def test_a_name_in_a_message_is_in_one_line_and_encodes() -> None:
    assert printable("caf\udce9/a\nb\u202e.flac é 中 😀") == "caf\\xe9/a\\x0ab\\u202e.flac é 中 😀"
