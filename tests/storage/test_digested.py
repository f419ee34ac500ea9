"""JSON files that carry their own digest: whatever is changed in them is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from wavlm.storage.digested import read_digested, write_digested

CONTENT = {"count": 3, "names": ["a", "b"], "zeros": "0" * 64}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_digested(tmp_path / "note.json", CONTENT)
    return tmp_path / "note.json"


def test_the_content_comes_back_and_other_programs_read_it(path: Path) -> None:
    found = read_digested(path)
    assert found.content == CONTENT
    assert found.has_digest
    assert {name: value for name, value in json.loads(path.read_text()).items() if name != "digest"} == CONTENT


def test_the_digest_is_the_sha256_of_the_bytes_with_zeros_in_its_place(path: Path) -> None:
    text = path.read_text()
    digest = json.loads(text)["digest"]
    assert hashlib.sha256(text.replace(digest, "0" * 64).encode()).hexdigest() == digest


def test_every_flipped_bit_and_every_cut_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for number in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[number // 8] ^= 1 << number % 8
        path.write_bytes(changed)
        assert_noticed(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert_noticed(path)


def assert_noticed(path: Path) -> None:
    """A ValueError, or a file without a digest: then the reader of its format looks at its fields."""
    try:
        found = read_digested(path)
    except ValueError:
        return
    assert not found.has_digest
    assert set(found.content) != set(CONTENT)


@pytest.mark.parametrize("blob", [b"", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b"{"])
def test_what_is_no_object_is_a_value_error(path: Path, blob: bytes) -> None:
    path.write_bytes(blob)
    with pytest.raises(ValueError, match=r"JSON|object"):
        read_digested(path)
