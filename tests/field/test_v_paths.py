"""Kind V, paths: whatever stands where a file or a folder is expected, there is one true error with a code.

People reported: `wavlm plan data_specs/recipes` ended in IsADirectoryError with a stack trace.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import console
from tests.field.recipes import run_wavlm, write_recipe
from wavlm.errors import CodedError, UsageError
from wavlm.errors.boundary import to_coded
from wavlm.execution.job import read_job
from wavlm.pipeline.store import Store
from wavlm.specs.tree import MAX_DEPTH, MAX_EVENTS, MAX_FILE_BYTES, RecipeError
from wavlm.specs.yaml import read_recipe

TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "found NoneType, expected a mapping"),
    "binary": (bytes(range(256)), "no UTF-8"),
    "no YAML": (b"name: [a", "not valid YAML"),
    "a NUL": (b"name: a\x00b", "not valid YAML"),
    "a list": (b"- a\n- b\n", "expected a mapping"),
    "two documents": (b"name: a\n---\nname: b\n", "a second document"),
    "deep brackets": (b"name: " + b"[" * 200_000, f"more than {MAX_DEPTH} nested levels"),
    "deep mappings": (b"name: " + b"{a: " * 1000, f"more than {MAX_DEPTH} nested levels"),
    "many values": (b"name: [" + b"1," * 300_000 + b"]", f"more than {MAX_EVENTS} values"),
    "a huge file": (b"#" * (MAX_FILE_BYTES + 1), f"expected at most {MAX_FILE_BYTES}"),
    "a long number": (b"name: " + b"9" * 5000, "a number of 5000 digits"),
    "a long hexadecimal number": (b"name: 0x" + b"f" * 5000, "a number of 5002 digits"),
    "an alias": (b"name: &a x\nother: *a\n", "an anchor or alias"),
    "a tag": (b"name: !!python/name:os.system x\n", "found a tag"),
    "half a surrogate pair": (b'name: "\\ud800"\n', "half of a surrogate pair"),
    "a list as a name": (b"? [a]\n: b\n", "a list or mapping as the name"),
    "a merge": (b"<<: {name: a}\n", "<<"),
    "a name twice": (b"name: a\nname: b\n", "a duplicate field 'name'"),
    "a byte order mark in the middle": (b"name: a\n\xef\xbb\xbfname: b\n", "; at "),
}


@pytest.mark.parametrize(("content", "expected"), TEXTS.values(), ids=TEXTS)
def test_a_recipe_of_any_bytes_is_refused_at_once(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert expected in str(caught.value)
    assert f"; at {path}" in str(caught.value)
    assert len(str(caught.value)) < 10_000


def test_a_long_wrong_value_is_shown_shortened_and_many_errors_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: " + "X" * 100_000 + "\n" + "".join(f"field{number}: 1\n" for number in range(500)))
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert all(line.startswith("RECIPE: ") for line in lines)
    assert "more problems; at " in lines[-1]
    assert max(map(len, lines)) < 1000


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _lead_nowhere(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


PLACES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a folder": (Path.mkdir, "found a folder, expected a YAML file"),
    "a pipe": (os.mkfifo, "found a pipe, expected a YAML file"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "found a device, expected a YAML file"),
    "a link to nothing": (_lead_nowhere, "no such file"),
    "a link to itself": (_loop, "the file cannot be read"),
    "nothing": (lambda _: None, "no such file"),
}


@pytest.mark.parametrize(("place", "expected"), PLACES.values(), ids=PLACES)
def test_a_recipe_that_is_no_file_is_refused_without_opening_it(
    place: Callable[[Path], None], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    place(path)
    with pytest.raises(RecipeError, match=expected):
        read_recipe(path)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".yaml", "x/" * 3000 + "y", "a\0b", "[red]", "[/x].yaml", ""])
def test_a_recipe_that_no_file_can_be_called_is_refused(name: str) -> None:
    with pytest.raises(RecipeError):
        read_recipe(name)


def test_a_corpus_spec_that_is_a_folder_is_refused_by_its_own_name(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    corpus = tmp_path / "corpora" / "mine.yaml"
    corpus.unlink()
    corpus.mkdir()
    with pytest.raises(RecipeError, match=f"found a folder, expected a YAML file; at {corpus};"):
        read_recipe(recipe)


@pytest.mark.parametrize("place", [Path.touch, _lead_nowhere, _loop, os.mkfifo])
def test_a_store_that_is_no_folder_is_refused(place: Callable[[Path], None], tmp_path: Path) -> None:
    place(tmp_path / "store")
    with pytest.raises(UsageError, match=r"NOT_A_FOLDER: a store is a folder, this is none; at .*store; "):
        Store(tmp_path / "store")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=str)
def test_a_job_that_is_none_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    if content is not None:
        path.write_bytes(content)
    for wrong in (path, tmp_path):
        with pytest.raises(UsageError, match=r"JOB_FILE: .*; at .*; name a job\.json"):
            read_job(wrong)


@pytest.mark.parametrize(
    ("number", "code", "exit_code"),
    [
        (errno.ENOENT, "NOT_FOUND", 2),
        (errno.EISDIR, "NOT_A_FILE", 2),
        (errno.ENOTDIR, "NOT_A_FOLDER", 2),
        (errno.ELOOP, "PATH_BAD", 2),
        (errno.ENAMETOOLONG, "PATH_BAD", 2),
        (errno.EACCES, "NOT_PERMITTED", 77),
        (errno.EPERM, "NOT_PERMITTED", 77),
        (errno.ENOSPC, "DISK_FULL", 73),
        (errno.EROFS, "NOT_WRITABLE", 73),
        (errno.EIO, "DISK_ERROR", 65),
        (errno.ESTALE, "FOLDER_LOST", 73),
    ],
)
def test_what_the_operating_system_refuses_has_a_code_and_names_the_file(
    number: int, code: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, os.strerror(number), "/some/where")
    found = to_coded(error)
    assert isinstance(found, CodedError)
    assert str(found).startswith(f"{code}: {os.strerror(number).lower()}; at /some/where; ")
    assert console.exit_code(error) == exit_code


@pytest.mark.slow
def test_the_command_line_prints_one_error_and_no_stack(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    (tmp_path / "file").touch()
    odd = recipe.with_name(os.fsdecode(b"caf\xe9 [red].yaml"))
    odd.write_text(recipe.read_text())
    assert run_wavlm("plan", odd, "--store", tmp_path / "store [/x]").returncode == 0
    for arguments, code in (
        (["plan", recipe.parent], "RECIPE: found a folder"),
        (["run", recipe, "--store", tmp_path / "file"], "NOT_A_FOLDER: "),
        (["status", "--store", tmp_path / "file" / "below"], "NOT_A_FOLDER: "),
    ):
        done = run_wavlm(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(code), done.stderr
        assert len(done.stderr.splitlines()) == 1
