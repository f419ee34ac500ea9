"""A download that is cut twenty times ends with the right bytes, and no byte of it is fetched or read twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.corpus.download.archives import CONTENT
from tests.corpus.publishers.archive_server import serving_archives
from wavlm.corpus.download import RetryPolicy, fetch
from wavlm.corpus.download.running import RunningDigest
from wavlm.errors import ServiceMissingError
from wavlm.execution.progress import no_progress

CUTS = 20
PATIENT = RetryPolicy(attempts=CUTS + 2, read_seconds=5, backoff_seconds=0.001, backoff_cap_seconds=0.002)


def places(seed: int) -> list[int]:
    """Where answers are cut, in order: anywhere, the first and the last byte among them."""
    size = len(CONTENT)
    anywhere = np.random.default_rng(seed).choice(np.arange(2, size - 1), CUTS - 3, replace=False)
    return sorted([0, 1, size - 1, *map(int, anywhere)])


@pytest.mark.parametrize("seed", range(3))
def test_a_download_goes_on_after_each_of_twenty_cuts(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    catch_up = RunningDigest.catch_up

    def count(self: RunningDigest, path: Path) -> None:
        before = self.num_bytes
        catch_up(self, path)
        read.append(self.num_bytes - before)

    monkeypatch.setattr(RunningDigest, "catch_up", count)
    cuts = [*places(seed), len(CONTENT)]
    with serving_archives({"a.tar": CONTENT}, lambda number, _, __: cuts[number - 1]) as server:
        found = fetch(server.source("a.tar", "tar"), tmp_path, no_progress, PATIENT)
        ranges = [asked for _, asked, _ in server.seen]
    assert found.read_bytes() == CONTENT
    assert [int((asked or "bytes=0-")[6:-1]) for asked in ranges] == [0, *cuts[:-1]]
    assert sum(read) == 0  # what this process has written it has also hashed


def test_a_download_goes_on_after_twenty_killed_runs(tmp_path: Path) -> None:
    cuts = [*places(3), len(CONTENT)]
    once = RetryPolicy(attempts=1, read_seconds=5)
    with serving_archives({"a.tar": CONTENT}, lambda number, _, __: cuts[number - 1]) as server:
        source = server.source("a.tar", "tar")
        for _ in range(CUTS):
            with pytest.raises(ServiceMissingError, match="DL_"):
                fetch(source, tmp_path, no_progress, once)
        found = fetch(source, tmp_path, no_progress, once)
    assert found.name == f"{hashlib.sha256(CONTENT).hexdigest()}.tar"
    assert found.read_bytes() == CONTENT
