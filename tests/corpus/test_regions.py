"""Regions in the corpus stage: their samples, what they share with held-out ones, and on which side they are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.corpus.corpora import grow, of_folder
from wavlm.corpus import measure
from wavlm.corpus.build import build_corpus
from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.corpus.manifest import ManifestRow, read_manifest
from wavlm.corpus.regions import find_overlaps, find_passage, find_region_fault
from wavlm.corpus.split import split
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("start_s", "end_s", "passage", "fault"),
    [
        (None, None, (0, 800), None),
        (0.0, 0.1, (0, 800), None),
        (0.05, None, (400, 800), None),
        (None, 0.05, (0, 400), None),
        (0.025, 0.05, (200, 400), None),
        (-1e-6, 0.05, (0, 400), None),
        (0.05, 0.6, (400, 800), None),  # at most 0.5 s behind the end
        (0.05, 0.7, (400, 800), "REGION_OUTSIDE"),
        (0.05, INF, (400, 800), "REGION_OUTSIDE"),
        (-0.01, 0.05, (0, 400), "REGION_OUTSIDE"),
        (0.1, 0.2, (800, 800), "REGION_OUTSIDE"),
        (0.1, None, (800, 800), "REGION_OUTSIDE"),
        (INF, None, (800, 800), "REGION_OUTSIDE"),
        (NAN, None, (0, 800), "REGION_OUTSIDE"),
        (0.05, 0.05, (400, 400), "REGION_EMPTY"),
        (0.05, 0.02, (400, 400), "REGION_EMPTY"),
        (0.05, NAN, (400, 400), "REGION_EMPTY"),
        (NAN, 0.05, (0, 400), "REGION_EMPTY"),
        (0.05, 0.05 + 1e-6, (400, 400), "REGION_EMPTY"),
    ],
)
def test_a_region_is_the_nearest_samples_that_lie_in_the_file(
    start_s: float | None, end_s: float | None, passage: tuple[int, int], fault: str | None
) -> None:
    assert find_passage(start_s, end_s, 800, 8000) == passage
    found = find_region_fault(start_s, end_s, 800, 8000)
    assert (found.reason if found else None) == fault


def row(key: str, start_s: float | None = None, end_s: float | None = None, **fields: Any) -> ManifestRow:
    made = ManifestRow(key, "long.wav", "ann", "train", None, None, 32044, "bytes", 16000, 16000, start_s, end_s)
    return replace(made, **fields)


@pytest.mark.parametrize("default", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_what_shares_a_sample_with_a_held_region_is_found(seed: int, default: int | None) -> None:
    """Compared with a look at every sample of every channel."""
    rng = np.random.default_rng(seed)

    def draw(name: str) -> list[ManifestRow]:
        rows = []
        for number in range(12):
            start, end = (int(edge) / 100 for edge in np.sort(rng.integers(0, 60, 2)))
            choice = int(rng.integers(5))
            times = {0: (None, end), 1: (start, None)}.get(choice, (start, end))
            channel = [None, 1, 2][int(rng.integers(3))]
            rows.append(row(f"{name}{number}", *times, channel=channel, sha256=f"file{int(rng.integers(6))}"))
        return rows

    def mark(item: ManifestRow) -> Any:
        marks = np.zeros((6, 2, 100), bool)  # file, channel, hundredth of a second
        channel = item.channel or default
        lanes = slice(None) if channel is None else slice(channel - 1, channel)
        start = round(100 * (item.start_s or 0.0))
        marks[int(item.sha256[4:]), lanes, start : 100 if item.end_s is None else round(100 * item.end_s)] = True
        return marks

    rows, held = draw("row"), draw("held")
    expected = {item.key for item in rows if any((mark(item) & mark(other)).any() for other in held)}
    assert 0 < len(expected) < len(rows)
    assert find_overlaps(rows, held, default) == expected


def sides(rows: list[ManifestRow], folder: Path, **fields: Any) -> dict[str, str]:
    made = split(rows, of_folder(folder, **fields))
    left = {item.key: "copy" for item in made.copies} | {item.key: "overlap" for item in made.overlaps}
    return {item.key: item.split for item in made.rows} | left


def test_no_audio_of_a_valid_region_is_trained_on(tmp_path: Path) -> None:
    rows = [
        row("a", 0.0, 5.0, speaker="bob"),
        row("same", 0.0, 5.0),
        row("other-channel", 0.0, 5.0, channel=2),
        row("into", 4.999, 6.0),
        row("touches", 5.0, 6.0),
        row("apart", 7.0, 8.0),
        row("whole"),
        row("other-file", 0.0, 5.0, sha256="other"),
    ]
    found = sides(rows, tmp_path, valid_speakers=("bob",), channels="first")
    assert found == {
        "a": "valid",
        "same": "copy",
        "other-channel": "train",
        "into": "overlap",
        "touches": "train",
        "apart": "train",
        "whole": "overlap",
        "other-file": "train",
    }
    assert sides(rows, tmp_path, valid_speakers=("bob",))["other-channel"] == "overlap"  # of the mean


def test_all_regions_of_a_file_without_speakers_are_on_one_side_also_when_it_grows(tmp_path: Path) -> None:
    def of_files(count: int, each: int) -> list[ManifestRow]:
        return [
            row(f"f{file:02d}-{n:03d}", float(n), n + 0.5, sha256=f"file{file}", speaker=UNKNOWN_SPEAKER)
            for file in range(count)
            for n in range(each)
        ]

    found = sides(of_files(40, 25), tmp_path, valid_fraction=0.2)
    by_file = {name[:3]: {found[key] for key in found if key.startswith(name[:3])} for name in found}
    assert all(len(side) == 1 for side in by_file.values())
    assert {"train", "valid"} == {side for found in by_file.values() for side in found}
    later = sides(of_files(60, 40), tmp_path, valid_rule={"by": "recordings", "below": 0.2})
    assert {key: later[key] for key in found} == found


def test_few_long_files_are_split_by_speakers_and_one_of_an_unknown_one_is_refused(tmp_path: Path) -> None:
    one_file = [row(f"{speaker}{n}", n + 0.0, n + 0.9, speaker=speaker) for n, speaker in enumerate("abcd" * 5)]
    made = split(one_file, of_folder(tmp_path, valid_fraction=0.05))
    held = {item.speaker for item in made.rows if item.split == "valid"}
    assert (made.rule, len(held), len(made.rows)) == ("speakers", 1, 20)
    unknown = [replace(item, speaker=UNKNOWN_SPEAKER) for item in one_file]
    with pytest.raises(BadDataError, match="VALID_EMPTY: tiny has 20 regions of 1 recording, which cannot be both"):
        split(unknown, of_folder(tmp_path, valid_fraction=0.05))


def test_a_file_is_read_once_and_a_region_that_is_named_twice_is_counted_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = grow(tmp_path / "raw", ["ann"], clips=1)
    spans = [(0.0, 0.2), (0.2, 0.4), (0.0, 0.2), (0.1, 0.3), (0.4, 9.0)]
    (folder / "wav.scp").write_text("long ann/0.flac\n")
    (folder / "segments").write_text("".join(f"k{n} long {start} {end}\n" for n, (start, end) in enumerate(spans)))
    measured: list[Path] = []
    probe = measure._probe
    monkeypatch.setattr(measure, "_probe", lambda path, fences: measured.append(path) or probe(path, fences))
    spec = of_folder(folder, {"type": "kaldi"}, language="cs")  # type: ignore[arg-type]
    facts = build_corpus(spec, tmp_path, tmp_path / "out", no_progress)
    rows = read_manifest(tmp_path / "out")
    assert {item.key: (item.start_s or 0.0, item.num_samples) for item in rows} == {
        "k0": (0.0, 3200),
        "k1": (0.2, 3200),
        "k3": (0.1, 3200),
        "k4": (0.4, 1600),
    }
    assert {reason: amount.recordings for reason, amount in facts.excluded.items()} == {"REGION_TWICE": 1}
    assert facts.found.microseconds == 900_000
    assert facts.hours_per_language == {"cs": round(0.7 / 3600, 4)}
    assert len(measured) == 1
    assert "1 recordings are left out (REGION_TWICE): k2" in caplog.text
