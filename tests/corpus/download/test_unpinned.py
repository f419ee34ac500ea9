"""Archives without their publisher's digest: the first download counts, and later ones are compared with it."""

from __future__ import annotations

import hashlib
import json
import logging
import lzma
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest

from tests.corpus.download.archives import CONTENT, PATIENCE, archive_of
from tests.corpus.download.bad_server import BadServer
from tests.corpus.download.test_cuts import CUTS, PATIENT, places
from tests.corpus.publishers.archive_server import serving_archives
from tests.corpus.publishers.packing import gzipped, parquet, tar, zipped
from wavlm.corpus.download import RetryPolicy, fetch
from wavlm.corpus.download.noted import find_digest, list_digests, note_digest
from wavlm.corpus.download.pin import hold_archive_lock
from wavlm.corpus.download.unpinned import accept, fetch_first
from wavlm.errors import BadDataError, CannotWriteError, ServiceMissingError, UsageError
from wavlm.execution.progress import no_progress
from wavlm.specs import HttpsSource

SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = archive_of(300_000)
OTHER_SHA256 = hashlib.sha256(OTHER).hexdigest()


def unpinned(url: str, **fields: object) -> HttpsSource:
    found = {"type": "https", "urls": (url,), "digest_from": "first-download", "format": "tar", **fields}
    return HttpsSource.model_validate(found)


def pinned(source: HttpsSource, sha256: str) -> HttpsSource:
    return source.model_copy(update={"sha256": sha256})


def test_the_first_download_is_noted_in_the_store_and_beside_the_spec(server: BadServer, tmp_path: Path) -> None:
    listed = tmp_path / "specs/tiny.digests.json"
    source = unpinned(server.url("good"), digests=str(listed))
    noted = fetch_first(source, tmp_path / "one", no_progress, PATIENCE)
    assert (noted.sha256, noted.bytes) == (SHA256, len(CONTENT))
    assert (tmp_path / f"one/{SHA256}.tar").read_bytes() == CONTENT
    assert json.loads(listed.read_text())[server.url("good")]["sha256"] == SHA256
    assert not list((tmp_path / "one").glob("*.part*"))
    # What is known is not asked for again: here, on another machine, and without the list.
    for store, known in (("one", source), ("two", source), ("one", unpinned(server.url("good")))):
        assert fetch_first(known, tmp_path / store, no_progress, PATIENCE) == noted
    assert len(server.seen) == 1


def test_other_bytes_are_refused_on_another_machine_until_somebody_accepts_them(
    server: BadServer, tmp_path: Path
) -> None:
    source = unpinned(server.url("good"), digests=str(tmp_path / "tiny.digests.json"))
    fetch_first(source, tmp_path / "one", no_progress, PATIENCE)
    server.content = OTHER
    two, first = tmp_path / "two", pinned(source, SHA256)
    with pytest.raises(BadDataError) as found:
        fetch(first, two, no_progress, PATIENCE)
    said = f"DL_HASH: found sha256 {OTHER_SHA256}, expected {SHA256}"
    assert said in str(found.value)
    assert f"wavlm pin CORPUS --accept {OTHER_SHA256}" in str(found.value)
    asked = len(server.seen)
    with pytest.raises(UsageError, match=f"NOTHING_FITS: .*{'0' * 64}"):
        accept((first,), two, "0" * 64)
    accept((first,), two, OTHER_SHA256)
    assert (two / f"{OTHER_SHA256}.tar").read_bytes() == OTHER
    assert len(server.seen) == asked  # nothing is downloaded again
    for store in ("two", "three"):
        digest = find_digest(source, tmp_path / store)
        assert digest is not None
        assert digest.sha256 == OTHER_SHA256  # the list goes before what the store of this machine had noted


def test_a_pinned_archive_says_nothing_of_accepting(server: BadServer, tmp_path: Path) -> None:
    with pytest.raises(BadDataError) as found:
        fetch(
            HttpsSource(type="https", urls=(server.url("good"),), sha256="0" * 64, format="tar"), tmp_path, no_progress
        )
    assert "--accept" not in str(found.value)


@pytest.mark.parametrize("runs", ["one", "killed"])
def test_a_first_download_goes_on_after_each_of_twenty_cuts(tmp_path: Path, runs: str) -> None:
    cuts = [*places(5), len(CONTENT)]
    policy = PATIENT if runs == "one" else RetryPolicy(attempts=1, read_seconds=5)
    with serving_archives({"a.tar": CONTENT}, lambda number, _, __: cuts[number - 1]) as server:
        source = server.unpinned("a.tar", "tar")
        for _ in range(CUTS if runs == "killed" else 0):
            with pytest.raises(ServiceMissingError, match="DL_"):
                fetch_first(source, tmp_path, no_progress, policy)
        noted = fetch_first(source, tmp_path, no_progress, policy)
        starts = [int((asked or "bytes=0-")[6:-1]) for _, asked, _ in server.seen]
    assert starts == [0, *cuts[:-1]]
    assert noted.sha256 == SHA256
    assert (tmp_path / f"{SHA256}.tar").read_bytes() == CONTENT


def test_a_file_that_changes_between_two_cuts_is_never_half_the_one_and_half_the_other(
    server: BadServer, tmp_path: Path
) -> None:
    assert fetch_first(unpinned(server.url("changed")), tmp_path, no_progress, PATIENCE).sha256 == SHA256
    assert server.ranges() == [None, f"bytes={len(CONTENT) // 2}-"]  # If-Range: the new file comes from its beginning


def test_a_web_page_is_no_first_download(server: BadServer, tmp_path: Path) -> None:
    source = unpinned(server.url("login_page"))
    with pytest.raises(BadDataError, match="DL_NOT_ARCHIVE: expected a tar file, found '<!DOCTYPE html>"):
        fetch_first(source, tmp_path, no_progress, PATIENCE)
    assert find_digest(source, tmp_path) is None


PACKED: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "tar": ("tar", "", lambda: tar({"a.bin": bytes(range(256)) * 40})),
    "tar.gz": ("tar.gz", "", lambda: tar({"a.bin": bytes(range(256)) * 40}, "w:gz")),
    "tar.bz2": ("tar.bz2", "", lambda: tar({"a.bin": bytes(range(256)) * 40}, "w:bz2")),
    "tar.xz": ("tar.xz", "", lambda: lzma.compress(tar({"a.bin": bytes(range(256)) * 40}))),
    "zip": ("zip", "", lambda: zipped({"a.bin": bytes(range(256)) * 40})),
    "parquet": ("file", "clean/train.parquet", lambda: parquet([{"id": str(number)} for number in range(999)])),
    "list": ("file", "unlabelled_data/unlabelled_v2.tsv.gz", lambda: gzipped("event_id\tsegment_no\n" * 99)),
    "file.gz": ("file.gz", "GigaSpeech.json", lambda: gzipped("{}" * 999)),
}


@pytest.mark.parametrize("kind", PACKED)
def test_half_an_archive_of_a_server_that_names_no_size_is_no_first_download(
    server: BadServer, tmp_path: Path, kind: str
) -> None:
    form, to, pack = PACKED[kind]
    server.content = pack()
    cut = unpinned(server.url("drop_without_length"), format=form, to=to)
    with pytest.raises(BadDataError, match=r"(TAR_TRUNCATED|TAR_CORRUPT|DL_NOT_ARCHIVE): .*\.bad"):
        fetch_first(cut, tmp_path, no_progress, PATIENCE)
    assert find_digest(cut, tmp_path) is None
    whole = unpinned(server.url("good"), format=form, to=to)
    assert fetch_first(whole, tmp_path, no_progress, PATIENCE).sha256 == hashlib.sha256(server.content).hexdigest()


def test_a_file_without_a_format_needs_a_size_from_somebody(server: BadServer, tmp_path: Path) -> None:
    source = unpinned(server.url("drop_without_length"), format="file", to="notes.txt")
    with pytest.raises(BadDataError, match="DL_SIZE: nobody says how long a file file is"):
        fetch_first(source, tmp_path, no_progress, PATIENCE)
    assert fetch_first(unpinned(server.url("good"), format="file", to="notes.txt"), tmp_path, no_progress, PATIENCE)


def test_a_list_that_cannot_be_written_is_a_warning_and_the_store_knows_the_digest(
    server: BadServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "closed").write_text("a file where a folder would have to be")
    source = unpinned(server.url("good"), digests=str(tmp_path / "closed/tiny.digests.json"))
    with caplog.at_level(logging.WARNING):
        noted = fetch_first(source, tmp_path / "store", no_progress, PATIENCE)
    assert "DIGESTS_CLOSED" in caplog.text
    assert find_digest(source, tmp_path / "store") == noted
    with pytest.raises(CannotWriteError, match=r"DIGESTS_CLOSED: .*wavlm pin"):
        list_digests({source: noted})


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"https://example.org/a.tar": {"sha256": "abc", "bytes": 1, "when": ""}}']
)
def test_a_list_that_cannot_be_read_is_an_error_and_not_a_first_download(
    server: BadServer, tmp_path: Path, text: str
) -> None:
    listed = tmp_path / "tiny.digests.json"
    listed.write_text(text)
    with pytest.raises(BadDataError, match=r"DIGESTS_DAMAGED: .*tiny\.digests\.json"):
        fetch_first(unpinned(server.url("good"), digests=str(listed)), tmp_path, no_progress, PATIENCE)
    assert not server.seen


def test_addresses_that_differ_in_what_is_secret_are_different_archives(tmp_path: Path) -> None:
    listed = tmp_path / "tiny.digests.json"
    with serving_archives({"get?key=1": CONTENT, "get?key=2": OTHER}) as server:
        for number, sha256 in ((1, SHA256), (2, OTHER_SHA256)):
            source = server.unpinned(f"get?key={number}", "tar", digests=str(listed))
            assert fetch_first(source, tmp_path, no_progress, PATIENCE).sha256 == sha256
    assert "key=" not in listed.read_text()
    assert len(json.loads(listed.read_text())) == 2


def test_a_run_that_has_waited_for_another_one_takes_what_that_has_noted(server: BadServer, tmp_path: Path) -> None:
    source = unpinned(server.url("good"))
    waits = replace(PATIENCE, lock_seconds=20.0)
    with ThreadPoolExecutor(1) as pool:
        with hold_archive_lock(tmp_path / source.file_name, 1.0):
            second = pool.submit(fetch_first, source, tmp_path, no_progress, waits)
            sleep(0.3)  # it may have come as far as the lock; it must not have looked before
            noted = note_digest(source, tmp_path, SHA256, len(CONTENT))
        assert second.result(20) == noted
    assert not server.seen


def test_nothing_of_a_list_is_lost_when_another_archive_is_added(server: BadServer, tmp_path: Path) -> None:
    listed = tmp_path / "tiny.digests.json"
    for path in ("good", "range_ignored"):
        source = unpinned(server.url(path), digests=str(listed))
        fetch_first(source, tmp_path / path, no_progress, PATIENCE)
    assert set(json.loads(listed.read_text())) == {server.url("good"), server.url("range_ignored")}
