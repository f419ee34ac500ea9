"""Manifests that lhotse itself wrote: recordings, supervisions and cuts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpus.layouts.trees import lines, read, rows, words, write
from wavlm.errors import BadDataError

pytest.importorskip("lhotse")
from lhotse import AudioSource, CutSet, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse import Recording as LhotseRecording

RATE_HZ = 16000


def write_corpus(root: Path) -> tuple[RecordingSet, SupervisionSet]:
    """One mono file, one stereo file, and a meeting with a file per microphone; with manifests of all."""
    for name, channels in (("mono", 1), ("stereo", 2), ("far", 1), ("near", 1)):
        noise = np.random.default_rng(channels).uniform(-0.1, 0.1, (2 * RATE_HZ, channels))
        soundfile.write(root / f"{name}.wav", noise, RATE_HZ)
    mono, stereo = (LhotseRecording.from_file(root / f"{name}.wav") for name in ("mono", "stereo"))
    sources = [AudioSource("file", [0], str(root / "far.wav")), AudioSource("file", [1], str(root / "near.wav"))]
    meeting = LhotseRecording("meeting", sources, RATE_HZ, 2 * RATE_HZ, 2.0)
    recordings = RecordingSet.from_recordings([mono, stereo, meeting])
    supervisions = SupervisionSet.from_segments(
        [
            SupervisionSegment("s1", "mono", 0.0, 2.0, channel=0, text="HI", language="en", speaker="ann"),
            SupervisionSegment("s2", "stereo", 0.5, 1.0, channel=[0, 1], text="YO", speaker="bob"),
            SupervisionSegment("s3", "stereo", 0.25, 1.75, channel=1, speaker="cid"),
            SupervisionSegment("s4", "meeting", 0.5, 0.5, channel=1, text="NEAR"),
            SupervisionSegment("s5", "meeting", 1.0, 0.5, channel=[0, 1]),
        ]
    )
    recordings.to_file(root / "recordings.jsonl.gz")
    supervisions.to_file(root / "supervisions.jsonl")
    return recordings, supervisions


def test_recordings_without_supervisions_are_whole_files(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    found = read(tmp_path, type="lhotse", manifests=["recordings.jsonl.gz"])
    assert rows(found) == [
        ("meeting-c1", "far.wav", None, None, None),
        ("mono", "mono.wav", None, None, None),
        ("meeting-c2", "near.wav", None, None, None),
        ("stereo", "stereo.wav", None, None, None),
    ]


def test_supervisions_are_regions_of_recordings_and_of_their_channels(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    found = read(tmp_path, type="lhotse", manifests=["*.jsonl*"])
    assert rows(found) == [
        ("s5-c1", "far.wav", 1.0, 1.5, None),
        ("s1", "mono.wav", None, None, None),  # it is the whole recording
        ("s4", "near.wav", 0.5, 1.0, None),
        ("s5-c2", "near.wav", 1.0, 1.5, None),
        ("s3", "stereo.wav", 0.25, None, 2),  # it ends with the recording
        ("s2", "stereo.wav", 0.5, 1.5, None),  # both channels: as the corpus says
    ]
    assert words(found)["s1"] == ("ann", "en", "HI")
    assert words(found)["s4"] == ("unknown", None, "NEAR")
    assert [(table.table, table.rows, table.by_path) for table in found.tables] == [
        ("recordings.jsonl.gz", 3, 3),
        ("supervisions.jsonl", 6, 6),  # that of two files counts twice
    ]


def test_cuts_are_regions_with_what_all_their_supervisions_say(tmp_path: Path) -> None:
    recordings, supervisions = write_corpus(tmp_path)
    cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    cuts.to_file(tmp_path / "cuts.jsonl.gz")
    whole = read(tmp_path, type="lhotse", manifests=["cuts.jsonl.gz"])
    said = {str(item.path): (item.start_s, item.end_s, item.speaker, item.text) for item in whole}
    assert said["mono.wav"] == (None, None, "ann", "HI")
    assert said["stereo.wav"] == (None, None, "unknown", "YO")  # two speakers
    cuts.trim_to_supervisions(keep_overlapping=False).to_file(tmp_path / "trimmed.jsonl")
    found = read(tmp_path, type="lhotse", manifests=["trimmed.jsonl"])
    assert rows(found) == rows(read(tmp_path, type="lhotse", manifests=["recordings.jsonl.gz", "supervisions.jsonl"]))
    assert words(found)["s2"] == ("bob", None, "YO")


def test_resampling_is_ours_and_other_changes_are_refused(tmp_path: Path) -> None:
    recordings, _ = write_corpus(tmp_path)
    cuts = CutSet.from_manifests(recordings=RecordingSet.from_recordings([recordings["mono"]]))
    cuts.resample(8000).to_file(tmp_path / "resampled.jsonl")
    assert [str(item.path) for item in read(tmp_path, type="lhotse", manifests=["resampled.jsonl"])] == ["mono.wav"]
    changed = {
        "fast": cuts.perturb_speed(1.1),
        "padded": cuts.pad(duration=5.0),
        "mixed": CutSet.from_cuts([cuts[0].mix(cuts[0])]),
    }
    for name, cut in changed.items():
        cut.to_file(tmp_path / f"{name}.jsonl")
        with pytest.raises(BadDataError, match=rf"LAYOUT: line 1: .*{name}\.jsonl; write the audio"):
            read(tmp_path, type="lhotse", manifests=[f"{name}.jsonl"])


def test_cuts_beside_recordings_are_refused(tmp_path: Path) -> None:
    recordings, _ = write_corpus(tmp_path)
    CutSet.from_manifests(recordings=recordings).to_file(tmp_path / "cuts.jsonl")
    with pytest.raises(BadDataError, match=r"LAYOUT: it would be read beside the cuts of cuts\.jsonl"):
        read(tmp_path, type="lhotse", manifests=["*.jsonl*"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": [{"type": "url", "channels": [0], "source": "https://x/y.wav"}]}, "a source of type url"),
        ({"sources": [{"type": "command", "channels": [0], "source": "cat x |"}]}, "a source of type command"),
        ({"sources": [{"type": "file", "channels": [0], "source": "sph2pipe x |"}]}, "the audio is a command"),
        ({"sources": [{"type": "file", "channels": "0", "source": "x.wav"}]}, "a source with channels 0"),
        ({"sources": []}, "recording mono has no sources"),
        ({"sources": {}}, "sources is no list of objects"),
        ({"duration": None}, "a recording without id or duration"),
        ({"duration": "x"}, "duration is no number"),
        ({"transforms": [{"name": "Volume"}]}, "the audio of mono is not that of its file: Volume"),
    ],
)
def test_a_recording_that_is_no_file_is_named_with_its_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    recordings, _ = write_corpus(tmp_path)
    good = recordings["mono"].to_dict()
    write(tmp_path, "r.jsonl", lines(good | {"id": "good"}, good | change))
    with pytest.raises(BadDataError, match=rf"LAYOUT: line 2: {message}.*r\.jsonl; "):
        read(tmp_path, type="lhotse", manifests=["r.jsonl"])


def test_a_supervision_of_an_unknown_recording_or_channel_is_counted_or_named(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    good = {"id": "a", "recording_id": "mono", "start": 0.5, "duration": 1.0, "channel": 0}
    lost = good | {"id": "b", "recording_id": "nobody"}
    write(tmp_path, "s.jsonl", lines(good, lost))
    found = read(tmp_path, type="lhotse", manifests=["recordings.jsonl.gz", "s.jsonl"], max_left_over_rows=0.5)
    account = found.tables[-1]
    assert (account.by_path, account.left_over, account.without_row) == (1, 1, 2)
    assert account.examples == ("line 2: b (left over)",)
    write(tmp_path, "s.jsonl", lines(good, good | {"id": "c", "channel": 1}))
    with pytest.raises(BadDataError, match=r"line 2: channel 1 of a recording with \[0\]"):
        read(tmp_path, type="lhotse", manifests=["recordings.jsonl.gz", "s.jsonl"])


def test_features_are_no_audio(tmp_path: Path) -> None:
    write(tmp_path, "f.jsonl", json.dumps({"type": "fbank", "storage_path": "x", "recording_id": "a"}) + "\n")
    with pytest.raises(BadDataError, match="features are no audio"):
        read(tmp_path, type="lhotse", manifests=["f.jsonl"])
