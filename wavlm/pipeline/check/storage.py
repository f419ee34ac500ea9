"""The store's disk: is it a folder, can it be written, and is there room for what is left to make?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from wavlm.errors import CannotWriteError, UsageError
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.cost import cost
from wavlm.storage.files import nearest_existing

_FOLDERS = ("locks", "downloads", "trash", "registry", "prefect")  # of the store, beside those of the kinds


def check_store(wanted: Wanted) -> Iterator[Finding]:
    """The store and its folders are folders that can be written, or can be made."""
    names = (*_FOLDERS, *dict.fromkeys(item.kind for item in wanted.artifacts))
    found = {nearest_existing(folder) for folder in (wanted.store.root, *(wanted.store.root / name for name in names))}
    problems = False
    for path in sorted(found):
        if not path.is_dir():
            problems = True
            yield UsageError(
                "NOT_A_FOLDER", f"found a file or a broken link, expected a folder; at {path}; move it away"
            )
        elif not os.access(path, os.W_OK | os.X_OK):
            problems = True
            yield CannotWriteError("NOT_WRITABLE", f"the folder cannot be written; at {path}; check its owner")
    if not problems:
        yield Remark(f"store: {wanted.store.root} can be written")


def check_room(wanted: Wanted) -> Iterator[Finding]:
    """The disk has room for what is left to make, as far as its size is known."""
    folder = nearest_existing(wanted.store.root)
    if not folder.is_dir():
        return  # check_store says so
    estimate = cost(wanted.recipe, wanted.store, wanted.artifacts)
    free = shutil.disk_usage(folder).free / 1e9
    needed = estimate.left_gigabytes
    if needed.known > free:
        yield CannotWriteError(
            "DISK_FULL",
            f"{needed.show(1)} GB are needed, {free:,.1f} are free; at {folder}; free space, or name a store elsewhere",
        )
        return
    text = f"disk: {needed.show(2)} GB are needed, {free:,.1f} are free"
    if estimate.unknown_hours:
        yield Remark(f"{text}; not known: hours of {', '.join(estimate.unknown_hours)}", is_warning=True)
    else:
        yield Remark(text)
