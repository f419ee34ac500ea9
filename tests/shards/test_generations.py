"""The plan of the tars of a corpus that grows: what comes later, is removed or is changed moves nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.corpus.growth.versions import Version, write_versions
from wavlm.corpus.manifest import MANIFEST, ManifestRow, write_manifest
from wavlm.shards.plan import write_plan
from wavlm.specs import ShardSpec

SPEC = ShardSpec(min_seconds=1.0, max_seconds=30.0, shard_megabytes=1)  # 50 s of speech
SECONDS = 20


def row(number: int, generation: int = 1, seconds: int = SECONDS) -> ManifestRow:
    return ManifestRow(
        key=f"k{number:02d}",
        path=f"k{number:02d}.flac",
        speaker="ann",
        split="train",
        text=None,
        phones=None,
        size_bytes=1,
        sha256=f"{number:064d}",
        sample_rate_hz=16000,
        num_samples=seconds * 16000,
        generation=generation,
    )


def place(of: ManifestRow) -> Version:
    names = ("key", "path", "start_s", "end_s", "channel", "speaker", "split", "size_bytes", "sha256", "sample_rate_hz")
    shared = {name: getattr(of, name) for name in (*names, "num_samples", "generation")}
    return Version(**shared, since=of.generation)


def plan(rows: list[ManifestRow], places: list[ManifestRow]) -> dict[str, tuple[ManifestRow, ...]]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_manifest(folder / MANIFEST, rows, "test", "speakers")
        if places:
            write_versions(folder, [place(item) for item in places])
        return {part.stem: part.read_rows() for part in write_plan(folder, SPEC, folder)}


def planned(rows: list[ManifestRow], places: list[ManifestRow]) -> dict[str, list[str]]:
    return {stem: [item.key for item in rows] for stem, rows in plan(rows, places).items()}


FIRST = [row(number) for number in range(5)]


def test_a_first_generation_is_planned_as_a_corpus_that_does_not_grow() -> None:
    expected = {"train-000000": ["k00", "k01"], "train-000001": ["k02", "k03"], "train-000002": ["k04"]}
    assert planned(FIRST, FIRST) == planned(FIRST, []) == expected


def test_later_recordings_have_tars_of_their_own_and_fill_none() -> None:
    later = [row(number, 2) for number in (5, 6, 7)]
    assert planned(FIRST + later, FIRST + later) == {
        **planned(FIRST, FIRST), "train-g002-000000": ["k05", "k06"], "train-g002-000001": ["k07"],
    }  # fmt: skip


def test_what_is_removed_leaves_a_gap_that_nothing_fills() -> None:
    assert planned(FIRST[1:], FIRST) == {**planned(FIRST, FIRST), "train-000000": ["k01"]}
    without = planned(FIRST[:4], FIRST)
    assert without.keys() == {"train-000000", "train-000001"}  # an empty tar is not made


def test_what_is_changed_keeps_its_place_whatever_its_length() -> None:
    changed = [replace(FIRST[0], num_samples=1_000_000, sha256="f" * 64, speaker="zoe"), *FIRST[1:]]
    assert planned(changed, FIRST) == planned(FIRST, FIRST)
    (first, *_) = plan(changed, FIRST).values()
    assert first[0] == changed[0]


def test_what_comes_back_has_a_place_in_the_generation_in_which_it_came_back() -> None:
    back = row(0, 3)
    assert planned([*FIRST[1:], back], [*FIRST, back]) == {
        **planned(FIRST[1:], FIRST), "train-g003-000000": ["k00"],
    }  # fmt: skip
