"""Files of a sealed folder are compared with its record before they are used, and hashed once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wavlm.errors import BadDataError
from wavlm.storage import seals
from wavlm.storage.digested import write_digested
from wavlm.storage.files import sha256_of
from wavlm.storage.ledger import SealedFile
from wavlm.storage.seals import FileState, check_sealed, content_of, read_fields, sha256_as_it_is


def seal(folder: Path, **files: str) -> Path:
    """A folder with these files and a record, as an artifact has it."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    digests = {name: {"sha256": sha256_of(folder / name), "bytes": 1} for name in files}
    write_digested(folder / "artifact.json", {"files": digests, "facts": {}})
    return folder


def test_a_file_as_it_was_sealed_passes_and_a_changed_missing_or_added_one_does_not(tmp_path: Path) -> None:
    folder = seal(tmp_path / "codebook/mfcc-0123456789ab", data="words", other="words")
    check_sealed(folder / "data")
    (folder / "data").write_text("wards")
    (folder / "other").unlink()
    (folder / "added").write_text("")
    for name in ("data", "other", "added"):
        with pytest.raises(BadDataError, match=rf"CHECKSUM: .*{folder / name}; .*wavlm stage codebook RECIPE --redo"):
            check_sealed(folder / name)


def test_a_file_below_a_folder_of_a_sealed_one_is_checked_too(tmp_path: Path) -> None:
    folder = seal(tmp_path / "export/it-0123456789ab")  # also where its seal was lost
    for below in ("hf", "snapshots/step-000000001"):
        (folder / below).mkdir(parents=True)
        (folder / below / "config.json").write_text("{}")
        with pytest.raises(BadDataError, match=f"CHECKSUM: .*{below}/config.json; .*wavlm stage export RECIPE"):
            check_sealed(folder / below / "config.json")


def test_some_other_program_s_artifact_json_seals_nothing_below_it(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/config.json").write_text("{}")
    for text in ("[]", "no JSON", json.dumps({"files": {}})):
        (tmp_path / "artifact.json").write_text(text)
        check_sealed(tmp_path / "hf/config.json")
    (tmp_path / "artifact.json").write_text(json.dumps(OLD))  # a record of an earlier version
    with pytest.raises(BadDataError, match="CHECKSUM"):
        check_sealed(tmp_path / "hf/config.json")


def test_where_there_is_no_record_nothing_is_compared(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("words")
    check_sealed(tmp_path / "data")


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    folder = seal(tmp_path / "labels/x-0123456789ab", data="words")
    record = folder / "artifact.json"
    record.write_text(record.read_text().replace('"facts"', '"fakts"'))
    with pytest.raises(BadDataError, match=f"RECORD_BROKEN: .*changed.*{record}; restore it"):
        check_sealed(folder / "data")


def test_a_file_is_hashed_once_as_long_as_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def count(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(seals, "sha256_of", count)
    path = tmp_path / "data"
    path.write_text("words")
    wait_until(lambda: FileState.of(path).is_settled)
    first = sha256_as_it_is(path)
    assert sha256_as_it_is(path) == first
    assert len(hashed) == 1
    path.rename(tmp_path / "moved")  # as a folder is renamed when it is complete
    os.utime(tmp_path / "moved", ns=(1, 1))
    sha256_as_it_is(tmp_path / "moved")
    assert len(hashed) == 2


def test_what_was_written_a_moment_ago_is_hashed_again(tmp_path: Path) -> None:
    """A second write in the same tick of the clock, with the same size, leaves the times as they are."""
    path = tmp_path / "data"
    path.write_text("words")
    before, state = sha256_as_it_is(path), path.stat()
    with path.open("r+") as file:
        file.write("wards")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert sha256_as_it_is(path) != before


OLD = {
    "identity": {},
    "key": "0",
    "inputs": [],
    "facts": {"hours": 3},
    "files": {"data": {"sha256": "ab", "bytes": 1}},
    "versions": {},
    "finished_unix": 1.0,
    "seconds": 1.0,
}


def test_a_record_of_an_earlier_version_is_read_and_its_files_are_compared_with_its_seal(tmp_path: Path) -> None:
    (tmp_path / "artifact.json").write_text(json.dumps(OLD))
    assert read_fields(tmp_path)["facts"] == {"hours": 3}
    (tmp_path / "seal.json").write_text(
        json.dumps({"content": content_of({"data": SealedFile("ab", 1)}), "inputs": {}})
    )
    assert read_fields(tmp_path)["facts"] == {"hours": 3}
    (tmp_path / "artifact.json").write_text(json.dumps(OLD).replace('"ab"', '"ad"'))
    with pytest.raises(BadDataError, match=r"RECORD_BROKEN: .*list of files"):
        read_fields(tmp_path)


def test_a_record_whose_digest_lost_its_name_is_no_record_of_an_earlier_version(tmp_path: Path) -> None:
    write_digested(tmp_path / "artifact.json", OLD)
    text = (tmp_path / "artifact.json").read_text()
    (tmp_path / "artifact.json").write_text(text.replace('"digest"', '"dige3t"'))
    with pytest.raises(BadDataError, match=r"RECORD_BROKEN: .*no digest"):
        read_fields(tmp_path)
