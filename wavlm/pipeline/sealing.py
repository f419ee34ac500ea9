"""What is sealed: the files that a stage makes, their digests, and the libraries that made them. Nothing else stays.

An interrupted attempt leaves temporary files, of our own and of libraries (safetensors: `.tmpXXXXXX`). They are removed
before a folder is sealed. A file that no stage of this kind makes is an error, because nobody knows what it means.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress
from wavlm.execution.revision import find_revision
from wavlm.storage.drops import write_dropped
from wavlm.storage.known import KnownFile, read_known
from wavlm.storage.ledger import SealedFile
from wavlm.storage.seals import DROPPED_FILE, UNSEALED, sha256_as_it_is

HASHING_THREADS = 2
# Libraries whose version can change an artifact's bytes.
LIBRARIES = ("wavlm-pipeline", "torch", "numpy", "soundfile", "soxr", "pyarrow", "faiss-cpu", "webdataset")
# Ours (a note of `wavlm.storage.files.note_whole` too), those of Rust's tempfile (safetensors), and what network file
# systems leave of files that were open.
OURS = ".*.partial"
TEMPORARY = (OURS, ".*.removed", ".*.sha256", ".tmp*", ".nfs*", ".fuse_hidden*")
SHOWN = 5


def clear_leftovers(folder: Path, patterns: Sequence[str]) -> None:
    """Remove temporary files, so that only files are left that the stage makes.

    In a pattern `*` stands for a part of a name, and `**` for any path below a folder.

    Raises BadDataError (FILE_STRAY), naming the others, if there are any.
    """
    is_made = re.compile("|".join(map(_to_regex, patterns))).fullmatch
    for name in list_files(folder):
        if _is_leftover(name) or (_is_temporary(name) and not is_made(name)):
            (folder / name).unlink()
    for path in sorted(folder.rglob(".*"), reverse=True):  # what is in a folder comes before the folder
        if path.is_dir() and _is_temporary(path.name) and not any(path.iterdir()):
            path.rmdir()
    strays = [name for name in list_files(folder) if not is_made(name)]
    if strays:
        more = f" and {len(strays) - SHOWN} more" if len(strays) > SHOWN else ""
        raise BadDataError(
            "FILE_STRAY",
            f"found {', '.join(strays[:SHOWN])}{more}, which this stage does not make; at {folder}; move it away, then "
            "run again",
        )


def list_files(folder: Path) -> list[str]:
    """Relative names of all files below a folder but those about it: record, seal, what was dropped."""
    names = (item.relative_to(folder).as_posix() for item in folder.rglob("*") if not item.is_dir())
    return sorted(name for name in names if name not in UNSEALED)


def seal_files(folder: Path, patterns: Sequence[str], progress: Progress) -> dict[str, SealedFile]:
    """Clear what is left over, and digest all files of a folder, by name. What the stage knows is not read again.

    Files that the stage left out are sealed as if they were there, and noted as dropped. Raises as `clear_leftovers`.
    """
    known = read_known(folder)
    clear_leftovers(folder, patterns)
    digests = hash_files(folder, list_files(folder), progress, partial(_find_digest, folder, known))
    files = {name: SealedFile(sha256=digest, bytes=(folder / name).stat().st_size) for name, digest in digests}
    (folder / DROPPED_FILE).unlink(missing_ok=True)  # of an earlier attempt, which left out more
    left_out = {name: file for name, file in known.items() if file.is_left_out and name not in files}
    if left_out:
        files |= {name: SealedFile(sha256=file.sha256, bytes=file.bytes) for name, file in left_out.items()}
        write_dropped(folder, left_out, time.time())
    return dict(sorted(files.items()))


def hash_files(
    folder: Path, names: Sequence[str], progress: Progress, sha256: Callable[[Path], str]
) -> Iterator[tuple[str, str]]:
    """Each name with the digest of its file, in order."""
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        digests = pool.map(sha256, [folder / name for name in names])
        for number, (name, digest) in enumerate(zip(names, digests, strict=True), 1):
            progress(number, len(names))
            yield name, digest


def _find_digest(folder: Path, known: Mapping[str, KnownFile], path: Path) -> str:
    """The digest that the stage knows of a file, if it still has the size that it knows; else that of its bytes."""
    found = known.get(path.relative_to(folder).as_posix())
    if found and not found.is_left_out and found.bytes == path.stat().st_size:
        return found.sha256
    return sha256_as_it_is(path)


def library_versions() -> dict[str, str | None]:
    """The versions of Python and of the libraries; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "git": find_revision()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


def _is_leftover(name: str) -> bool:
    """Whether a killed writer of ours left it. Nothing else may have such a name, also not in an archive."""
    return fnmatchcase(PurePosixPath(name).name, OURS)


def _is_temporary(name: str) -> bool:
    """Whether a part of a relative path is the name of a temporary file or folder."""
    return any(fnmatchcase(part, pattern) for part in PurePosixPath(name).parts for pattern in TEMPORARY)


def _to_regex(pattern: str) -> str:
    """`*` does not match a point at the beginning of a name."""
    parts = [
        ".+" if part == "**" else re.sub(r"^\[\^/\]", r"[^/.][^/]", re.escape(part).replace(r"\*", "[^/]*"))
        for part in PurePosixPath(pattern).parts
    ]
    return "/".join(parts)
