"""Delete what was found: renamed into the trash first, so that nothing is ever half there; no link is followed.

A run notes what it wants, and then looks what is there. Here it is the other way round: an item is renamed, then the
notes are read. So whichever comes first, either the run finds the item gone and makes it, or its note is found here and
the item is put back. The run meets the item's lock meanwhile, and waits.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

from wavlm.errors import CodedError, LockedError
from wavlm.errors.boundary import to_coded
from wavlm.pipeline.garbage.again import find_use
from wavlm.pipeline.garbage.find import TRASH
from wavlm.pipeline.garbage.kept import Kept
from wavlm.pipeline.garbage.survey import Item, What
from wavlm.pipeline.store import Store
from wavlm.storage.drops import keep_again, write_dropped
from wavlm.storage.files import sync
from wavlm.storage.locks import hold_lock
from wavlm.storage.seals import sealed_files
from wavlm.storage.use_locks import hold_unused


def delete_item(item: Item, store: Store, kept: Kept) -> CodedError | None:
    """Delete one item. Returns why it stays, such as that somebody works on it; None if it is gone.

    `kept`: what the item was found with. What began to want the item since then keeps it.
    """
    name = str(item.path.relative_to(store.root))
    try:
        with ExitStack() as stack:
            if item.lock:
                stack.enter_context(hold_lock(item.lock, name))
                stack.enter_context(hold_unused(item.lock.with_suffix(".use"), name))
            _refuse_used(item, store, kept)
            if item.what is What.TRASH:
                _erase(item.path)
            else:
                _remove(item, store, kept)
    except CodedError as error:
        return error
    except OSError as error:
        if (coded := to_coded(error)) is None:
            raise
        return coded
    return None


def _refuse_used(item: Item, store: Store, kept: Kept) -> None:
    if why := find_use(item, store, kept):
        name = item.path.relative_to(store.root)
        raise LockedError("LOCKED", f"{name} stays: {why}; at {item.path}; look again: wavlm gc")


def _remove(item: Item, store: Store, kept: Kept) -> None:
    """Move an item to the trash and erase it, or put it back if somebody began to want it in that moment."""
    names = _names_in(item)
    if item.part_of:
        write_dropped(item.part_of, names, time.time())
    folder = store.root / TRASH / item.path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    moved = folder / f"{item.path.name.lstrip('.')}-{time.time_ns()}"
    item.path.rename(moved)
    sync(item.path.parent)
    try:
        _refuse_used(item, store, kept)
    except CodedError:
        moved.rename(item.path)
        if item.part_of:
            keep_again(item.part_of, names, time.time())
        sync(item.path.parent)
        raise
    _erase(moved)


def _names_in(item: Item) -> list[str]:
    """The sealed files of a complete artifact that are in this part of it."""
    if item.part_of is None:
        return []
    inside = f"{item.path.relative_to(item.part_of)}/"
    return [name for name in sealed_files(item.part_of) if name.startswith(inside)]


def _erase(path: Path) -> None:
    """Delete a file, or a folder with all that is in it. A link is deleted, and not what it leads to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    for folder, names, _ in os.walk(path):
        for name in names:  # a folder from an archive may be closed to its owner
            inner = Path(folder) / name
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(path)
