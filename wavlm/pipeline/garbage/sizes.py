"""How much disk files and folders take. A file may have several names: parts of shards that generations share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path


def sizes_of(paths: Sequence[Path]) -> list[int]:
    """Bytes of each of several files or folders. A file with several names counts once, for the first that has it."""
    seen: set[tuple[int, int]] = set()
    sizes = []
    for path in paths:
        files = {(item.st_dev, item.st_ino): item.st_size for item in _look(path)}
        sizes.append(sum(size for file, size in files.items() if file not in seen))
        seen.update(files)
    return sizes


def freed_by(paths: Sequence[Path]) -> list[int]:
    """Bytes that are free when each of these and all before it are deleted.

    A file that has a name elsewhere stays; it counts for the last of its names, if all of them are among these.
    """
    names: Counter[tuple[int, int]] = Counter()
    sizes = []
    for path in paths:
        freed = 0
        for item in _look(path):
            names[item.st_dev, item.st_ino] += 1
            freed += item.st_size if names[item.st_dev, item.st_ino] == item.st_nlink else 0
        sizes.append(freed)
    return sizes


def _look(path: Path) -> Iterator[os.stat_result]:
    """The state of a file, or of every file below a folder. Links are not followed."""
    if path.is_symlink() or not path.is_dir():
        yield path.lstat()
        return
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):  # a training removes its oldest snapshot meanwhile
                yield os.lstat(os.path.join(folder, name))  # noqa: PTH118 - a corpus has 300,000 files
