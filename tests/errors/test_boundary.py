"""What the operating system and libraries raise gets the code that helps; what may be a bug gets none."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from wavlm.errors import AnswerTooLargeError, CodedError, NoResourcesError
from wavlm.errors.boundary import code_errors, to_coded

ROOT = "/some/where"


def code_of(error: BaseException, where: Path | None = None) -> tuple[str, int] | None:
    found = to_coded(error, where)
    return (str(found.code), found.exit_code) if found else None


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number), ROOT)


@pytest.mark.parametrize("number", [errno.ENOTEMPTY, errno.EXDEV, errno.ETXTBSY, errno.EBUSY, errno.ENOSYS, 9999])
def test_only_an_error_of_the_disk_is_said_to_be_one(number: int) -> None:
    error = refused(number)
    found = to_coded(error)
    assert str(found).startswith(f"OS_REFUSED: {os.strerror(number).lower()}; at {ROOT}; ")
    assert "check the disk" not in str(found)
    assert code_of(refused(errno.EIO)) == ("DISK_ERROR", 65)
    assert code_of(refused(errno.EUCLEAN)) == ("DISK_ERROR", 65)


def test_an_error_of_the_operating_system_without_a_number_says_what_it_says() -> None:
    assert str(to_coded(OSError("no such codec"))).startswith("OS_REFUSED: no such codec; ")
    assert code_of(OSError("failed (os error 5)")) == ("DISK_ERROR", 65)


@pytest.mark.parametrize("number", [errno.EBADF, errno.EFAULT])
def test_a_number_that_only_a_bug_gives_stays_a_bug(number: int) -> None:
    assert to_coded(refused(number)) is None


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR])
def test_inside_a_stage_nobody_is_told_to_correct_a_path(number: int, tmp_path: Path) -> None:
    with pytest.raises(CodedError) as raised, code_errors(tmp_path):
        raise refused(number)
    expected = ("FILE_LOST", 65) if number == errno.ENOENT else ("OS_REFUSED", 73)
    assert (raised.value.code, raised.value.exit_code) == expected
    assert ROOT in str(raised.value)
    outside = to_coded(refused(number))
    assert outside is not None
    assert outside.exit_code == 2


def test_a_stage_whose_folder_has_gone_has_lost_its_disk(tmp_path: Path) -> None:
    assert code_of(refused(errno.ENOENT), tmp_path / "gone") == ("FOLDER_LOST", 73)


def packed_in_tar() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    return held.getvalue()


DAMAGED: dict[str, Callable[[], object]] = {
    "a tar": lambda: tarfile.TarFile(fileobj=io.BytesIO(b"x" + packed_in_tar())),
    "a zip": lambda: zipfile.ZipFile(io.BytesIO(b"no zip")),
    "zlib's": lambda: zlib.decompress(b"no zlib"),
    "gzip's head": lambda: gzip.decompress(b"no gzip"),
    "gzip's end": lambda: gzip.decompress(gzip.compress(b"x" * 100)[:-9]),
    "xz": lambda: lzma.decompress(b"no xz"),
    "bzip2": lambda: bz2.decompress(b"no bzip2"),
    "a text": b"caf\xe9".decode,
    "a sound": lambda: soundfile.read(io.BytesIO(b"no sound")),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_a_library_cannot_unpack_or_decode_is_damaged(what: str) -> None:
    with pytest.raises(CodedError, match=r"^FILE_DAMAGED: ") as raised, code_errors():
        DAMAGED[what]()
    assert raised.value.exit_code == 65


def test_a_library_that_cannot_be_loaded_for_want_of_memory_is_no_bug() -> None:
    error = ImportError("_pocketfft.so: failed to map segment from shared object")
    assert isinstance(to_coded(error), NoResourcesError)
    assert to_coded(ImportError("cannot import name 'fft'")) is None


def test_no_room_for_the_code_that_onednn_makes_is_no_bug() -> None:
    assert isinstance(to_coded(RuntimeError("could not create a primitive")), NoResourcesError)
    assert to_coded(RuntimeError("could not create a primitive descriptor for a convolution")) is None


def test_what_fails_on_the_way_out_does_not_hide_that_there_was_no_memory() -> None:
    error = ImportError("cannot import name 'x'")
    error.__context__ = KeyError("while leaving a block")
    error.__context__.__context__ = MemoryError()
    assert isinstance(to_coded(error), NoResourcesError)
    error.__suppress_context__ = True  # raise ... from None: it says that the two have nothing to do with each other
    assert to_coded(error) is None


class FailingDisk(io.FileIO):
    """Fails at one write, and not at the next."""

    num_writes = 0

    def write(self, data: Any) -> int:
        self.num_writes += 1
        if self.num_writes == 2:
            raise OSError(errno.EIO, "input/output error")
        return super().write(data)


def test_what_a_disk_said_counts_and_not_what_torch_says_of_the_length_of_the_file(tmp_path: Path) -> None:
    with io.BufferedWriter(FailingDisk(tmp_path / "model.pt", "wb")) as file:
        with pytest.raises(RuntimeError, match="unexpected pos") as raised:
            torch.save({"weights": torch.zeros(10_000), "bias": torch.ones(5000)}, file)
        coded = to_coded(raised.value, tmp_path)
    assert coded is not None
    assert (coded.code, coded.exit_code) == ("DISK_ERROR", 65)


def test_errors_that_lead_to_each_other_have_an_end() -> None:
    """`raise first from second`, where the second came up while the first was handled."""
    first, second = OSError(errno.EIO, "input/output error"), KeyError("while leaving a block")
    first.__cause__, second.__context__ = second, first
    coded = to_coded(first)
    assert coded is not None
    assert coded.code == "DISK_ERROR"


@pytest.mark.parametrize("error", [EOFError(), ValueError("x"), KeyError("x"), RuntimeError("x"), TypeError("x")])
def test_what_may_be_a_bug_stays_one(error: Exception) -> None:
    assert to_coded(error) is None


def test_an_answer_that_is_too_large_is_the_servers() -> None:
    assert code_of(AnswerTooLargeError("an answer of more than 5 bytes")) == ("ANSWER_TOO_LARGE", 69)
