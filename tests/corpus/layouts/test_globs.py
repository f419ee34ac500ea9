"""Globs match as those of pathlib, which is the reference here, but for the letter case of suffixes."""

from itertools import product
from pathlib import Path

import pytest

from wavlm.corpus.layouts.globs import compile_glob, fixed_folder

PATTERNS = [
    "**/*", "*", "*/*", "**/*.flac", "*.flac", "a/**/*", "a/**/b/*.wav", "**/a/*", "**/a/**/*.wav", "a*/*", "?/*",
    "*/?.wav", "[ab]/*", "[!a]/*", "[!a]*/**/*", "a/[]b]*", "**/*[.]wav", "a/b/1.wav", "./a/*", "a//*", "**/**/*",
    "*.f?ac",
    "*a*.*", "**/1.*", "**/[0-9].wav", "**/b*/*", "a/*/b/*", "1", "**/1", "(a)/*.wav", "a+b/*", "**/*.w[a]v",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    folders = ["/".join(parts) for depth in range(4) for parts in product("ab", repeat=depth)]
    for folder in [*folders, "(a)", "a+b", "c]d"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in ("1.wav", "2.flac", "ab.wav", "1", "x.y.wav", "]b.wav"):
            (root / folder / name).touch()
    return root


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_glob_takes_what_pathlib_takes(tree: Path, pattern: str) -> None:
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    expected = {path.relative_to(tree).as_posix() for path in tree.glob(pattern) if path.is_file()}
    assert {path for path in files if compile_glob(pattern).fullmatch(path)} == expected


def test_a_glob_that_ends_in_two_stars_takes_everything_below(tree: Path) -> None:
    files = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
    assert all(compile_glob("**").fullmatch(path) for path in files)
    assert [path for path in files if compile_glob("a/b/**").fullmatch(path)] == [
        p for p in files if p.startswith("a/b/")
    ]


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("**/*", ""),
        ("a/b/*.wav", "a/b/"),
        ("./a//**/*", "a/"),
        ("a/b?/c/*", "a/"),
        ("*.wav", ""),
        ("a/[b]/*", "a/"),
        ("x", ""),
    ],
)
def test_the_folder_that_a_glob_names(pattern: str, folder: str) -> None:
    assert fixed_folder(pattern) == folder
