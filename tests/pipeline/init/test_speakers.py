"""Folders are speakers only where that convinces; otherwise the reason is said."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from wavlm.pipeline.init.speakers import guess_speakers


def paths(*patterns: str, count: int = 4) -> list[PurePosixPath]:
    return [PurePosixPath(pattern.format(number)) for pattern in patterns for number in range(count)]


def test_folders_with_names_of_people_are_speakers() -> None:
    guess = guess_speakers(paths("anna/{}.wav", "ben/{}.wav", "carla/{}.wav"))
    assert guess.pattern == "^(?P<speaker>[^/]+)/"
    assert "3 such as anna, ben, carla, with 4 to 4 recordings" in guess.why


def test_the_level_below_a_split_is_taken() -> None:
    names = [f"{split}/{who}/{{}}.wav" for split in ("train", "dev") for who in ("s1a", "s2b", "s3c")]
    assert guess_speakers(paths(*names)).pattern == "^[^/]+/(?P<speaker>[^/]+)/"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a/{}.wav", "b/{}.wav"), "2 are too few"),
        (("call-001/{}.wav", "call-002/{}.wav", "call-003/{}.wav"), "not those of people"),
        (("2026-11-01/{}.wav", "2026-11-02/{}.wav", "2026-11-03/{}.wav"), "not those of people"),
        (("part1/{}.wav", "part2/{}.wav", "part3/{}.wav"), "not those of people"),
        (("de/{}.wav", "en/{}.wav", "fr/{}.wav"), "not those of people"),
        (("{}.wav",), "no folders"),
    ],
)
def test_other_folders_are_no_speakers(names: tuple[str, ...], reason: str) -> None:
    guess = guess_speakers(paths(*names))
    assert not guess.pattern
    assert reason in guess.why


def test_a_folder_per_recording_is_no_speaker() -> None:
    names = [PurePosixPath(f"x{number}y/audio.wav") for number in range(20)]
    assert "too few recordings each" in guess_speakers(names).why


def test_a_folder_whose_name_begins_its_files_is_a_speaker_even_with_one_recording() -> None:
    names = [PurePosixPath(f"p{number}/p{number}_001.wav") for number in range(225, 235)]
    assert guess_speakers(names).pattern == "^(?P<speaker>[^/]+)/"


def test_speakers_in_file_names_are_told_and_not_taken() -> None:
    guess = guess_speakers(paths("p225_{}.wav", "p226_{}.wav", "p227_{}.wav"))
    assert not guess.pattern
    assert guess.maybe
