"""Artifacts of many files: their digests lie in a ledger beside the record, which stays small."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.sealed import DAMAGES, Damage, damaged, seal
from wavlm.errors import BadDataError
from wavlm.pipeline.fit import find_broken
from wavlm.pipeline.record import MOST_LISTED, read_head, read_record, read_size
from wavlm.pipeline.verify import verify
from wavlm.storage.digested import write_digested
from wavlm.storage.ledger import LEDGER_FILE
from wavlm.storage.seals import RECORD_FILE, check_sealed, forget, sealed_files

MANY = 3 * MOST_LISTED


def write_files(folder: Path, number: int = MANY) -> Path:
    for index in range(number):
        (folder / f"{index:04d}.txt").write_text(f"file {index}")
    return folder


def damage_of(folder: Path) -> list[Path]:
    """What is not as it was sealed. The record of this test has no identity, so its key is another one."""
    return [item.path for item in verify(folder) if not item.found.startswith("an identity of the key")]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    (tmp_path / "a" / "voices-0").mkdir(parents=True)
    return seal(write_files(tmp_path / "a" / "voices-0"))


def test_a_record_of_many_files_is_small_and_names_them_all(many: Path) -> None:
    content = json.loads((many / RECORD_FILE).read_text())
    assert "files" not in content
    blob = (many / LEDGER_FILE).read_bytes()
    sizes = [len(f"file {index}") for index in range(MANY)]
    assert content["ledger"] == {"sha256": hashlib.sha256(blob).hexdigest(), "files": MANY, "bytes": sum(sizes)}
    files = read_record(many).files
    assert {name: file.sha256 for name, file in files.items()} == {
        f"{index:04d}.txt": hashlib.sha256(f"file {index}".encode()).hexdigest() for index in range(MANY)
    }
    assert [file.bytes for file in files.values()] == sizes
    assert read_size(many) == (MANY, sum(sizes))
    assert damage_of(many) == []


def test_a_record_of_some_files_lists_them_itself(tmp_path: Path) -> None:
    folder = seal(write_files(tmp_path, MOST_LISTED))
    assert not (folder / LEDGER_FILE).exists()
    assert len(json.loads((folder / RECORD_FILE).read_text())["files"]) == MOST_LISTED
    assert read_size(folder)[0] == MOST_LISTED


def test_an_attempt_that_was_killed_leaves_no_ledger_behind(tmp_path: Path) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(b"of an attempt with more files")
    seal(write_files(tmp_path, 2))
    assert not (tmp_path / LEDGER_FILE).exists()
    assert damage_of(tmp_path) == []


def test_names_that_are_no_text_are_in_the_ledger(tmp_path: Path) -> None:
    name = b"caf\xe9.txt".decode(errors="surrogateescape")
    (tmp_path / name).write_text("x")
    seal(write_files(tmp_path))
    assert name in sealed_files(tmp_path)
    assert damage_of(tmp_path) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_named_and_no_file_is_taken_for_whole(many: Path, damage: Damage) -> None:
    with damaged(many / LEDGER_FILE, damage, 3) as is_changed:
        assert is_changed
        forget()
        with pytest.raises(BadDataError, match=r"RECORD_BROKEN: artifact\.ledger cannot be used: .*voices-0"):
            check_sealed(many / "0007.txt")
        (found,) = verify(many)
        assert LEDGER_FILE in found.found
        assert read_head(many).key == "0"  # what needs no files goes on
    forget()
    check_sealed(many / "0007.txt")


def test_a_file_that_changed_is_found_by_the_ledger(many: Path) -> None:
    (many / "0007.txt").write_text("file 8")
    with pytest.raises(BadDataError, match="CHECKSUM"):
        check_sealed(many / "0007.txt")


def test_a_ledger_that_is_gone_is_found_at_the_first_look(many: Path) -> None:
    (many / LEDGER_FILE).unlink()
    forget()
    found = find_broken(many)
    assert found is not None
    assert "artifact.ledger cannot be used: the file is missing" in str(found)


def test_a_record_of_an_earlier_version_with_many_files_in_it_is_read(many: Path) -> None:
    record = read_record(many).model_dump(mode="json")
    (many / LEDGER_FILE).unlink()
    write_digested(many / RECORD_FILE, record)
    forget()
    assert find_broken(many) is None
    assert read_size(many)[0] == MANY
    assert damage_of(many) == []
    check_sealed(many / "0007.txt")
