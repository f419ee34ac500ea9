"""Texts that differ in every run (T), in the records of parts and the list of rejects.

Reported: the reason of an unreadable file held the address of an object, so that two runs gave other bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.field.speech import ALL_BAD, encode, pack, speech
from tests.shards.corpora import Clip, bytes_of, noise_clip
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake

FLAC = encode(speech(2.0), kind="FLAC")


def make_bad_clips() -> list[Clip]:
    """Good recordings, and one for each way in which a decoder, a check or a limit refuses one."""
    blobs = {
        "empty": b"",
        "text": b"<html>no audio</html>" * 50,
        "cut-flac": FLAC[: len(FLAC) // 2],
        "flipped-flac": FLAC[:9000] + b"\x00\xff\x00" + FLAC[9003:],
        "cut-mp3": encode(speech(2.0), kind="MP3")[:5000],
        "head-of-mp4": b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom" + bytes(500),
        "head-of-webm": b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 4,
        "silent": encode(np.zeros(16000)),
        "half-silent": encode(np.concatenate([speech(4.0), np.zeros(64000)])),
        "opposite": encode(np.stack([speech(1.0), -speech(1.0)], axis=1)),
        "short": encode(speech(0.2)),
        "nan": encode(np.full(16000, np.nan), subtype="FLOAT"),
    }
    good = [noise_clip(f"good-{number}", 3.0, f"speaker{number}") for number in range(6)]
    return [*good, *(Clip(key, blob, speaker="zoe") for key, blob in blobs.items())]


@pytest.mark.slow
def test_the_bytes_are_equal_for_every_folder_number_of_workers_and_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavlm.shards.build.SECONDS_PER_WORKER", 1)  # so that two workers are used
    spec = ALL_BAD.model_copy(update={"shard_megabytes": 0.3})
    clips = make_bad_clips()  # once: soundfile writes the time into some headers
    first = pack(tmp_path / "a", clips, spec, Intake(stall_seconds=0))
    expected = bytes_of(first.folder)
    assert len(first.rejects) >= 11
    assert not any(b" at 0x" in blob for blob in expected.values())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    elsewhere = pack(tmp_path / "a-longer-name" / "b", clips, spec, Intake(), workers=2)
    assert bytes_of(elsewhere.folder) == expected
    (first.folder / "train-000001.tar").unlink()  # as after a crash
    build_shards(spec, tmp_path / "a" / "corpus", first.folder, 1, no_progress, Intake())
    assert bytes_of(first.folder) == expected
