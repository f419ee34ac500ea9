"""What an archive was unpacked to: its receipt, and beside it a note of each file until the corpus is sealed.

An attempt that goes on compares all files with the note before it believes the receipt. The note is removed when the
folder is sealed, because the record names the files from then on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wavlm.corpus.facts import ArchiveReceipt
from wavlm.corpus.unpack import UnpackedFile, fold_name
from wavlm.errors import BadDataError
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.encoding import printable
from wavlm.storage.facts import Facts
from wavlm.storage.files import read_json, sha256_of, write_json

THREADS = 4  # hashing waits for the disk and releases the GIL


class Unpacked(Facts):
    """One archive that is unpacked, and each of its files by the path below the folder of all audio."""

    receipt: ArchiveReceipt
    files: dict[str, UnpackedFile]

    def is_whole(self, root: Path, replaced: Collection[str], archive: Path | None = None) -> bool:
        """Whether all files are there as they were unpacked, but those that a later archive replaced.

        Files that were not written since are not read. `archive`: where files may be that were left in it.
        """
        names = [name for name in self.files if name not in replaced]
        left = [name for name in names if self.files[name].is_left]
        if left and not (archive and archive.exists() and archive.stat().st_size == self.receipt.bytes):
            return False
        written = [name for name in names if not self.files[name].is_left]
        if not all(_has_size(root / name, self.files[name].bytes) for name in written):
            return False  # found without reading much
        changed = [name for name in written if (root / name).stat().st_mtime_ns != self.files[name].mtime_ns]
        with ThreadPoolExecutor(THREADS) as pool:
            digests = pool.map(lambda name: _digest_of(root / name), changed)
            return all(digest == self.files[name].sha256 for name, digest in zip(changed, digests, strict=True))

    @property
    def has_left(self) -> bool:
        """Whether any file was left in the archive."""
        return any(file.is_left for file in self.files.values())


def write_unpacked(receipt: Path, unpacked: Unpacked) -> None:
    """Write the note and then the receipt. The files must be on the disk by then."""
    write_digested(_note_of(receipt), unpacked.model_dump())
    write_json(receipt, unpacked.receipt.model_dump())


def read_unpacked(receipt: Path) -> Unpacked | None:
    """What an earlier attempt unpacked; None if it did not finish, or left no note that can be trusted."""
    try:
        found = read_digested(_note_of(receipt))
        unpacked = Unpacked.model_validate(found.content)
        is_same = found.has_digest and ArchiveReceipt.model_validate(read_json(receipt)) == unpacked.receipt
    except (FileNotFoundError, ValueError):
        return None
    return unpacked if is_same else None


def refuse_strays(root: Path, unpacked: Iterable[Unpacked]) -> None:
    """Raise BadDataError (FILE_STRAY) if a file that no archive has lies among the audio. Hidden ones are not read."""
    known = {fold_name(name) for one in unpacked for name in one.files}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = (Path(folder) / name).relative_to(root).as_posix()
            if not name.startswith(".") and fold_name(path) not in known:
                raise BadDataError(
                    "FILE_STRAY",
                    f"found {printable(path)}, which is in no archive of the corpus; at {root}; move it away, then run "
                    "again",
                )


def merge(unpacked: Iterable[Unpacked]) -> Mapping[str, UnpackedFile]:
    """All files of several archives. If two have one of the same path, the later one counts."""
    return {name: file for one in unpacked for name, file in one.files.items()}


def _note_of(receipt: Path) -> Path:
    """Hidden, and with the ending of the notes that are removed before a folder is sealed."""
    return receipt.with_name(f".{receipt.name}.sha256")


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.lstat().st_size == size and path.is_file() and not path.is_symlink()
    except OSError:
        return False  # whatever it is: the file is unpacked again, and nothing is lost


def _digest_of(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
