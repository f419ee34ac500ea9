"""Fetch tars ahead of the loading processes, where they are read through the cache of a mirror.

This is for epochs without windows, which read all tars in random order: they are fetched one behind the other, as far
as they fit into the cache. Windows are copied by `wavlm.loader.staging`. Each rank goes through the same list; whoever
comes first fetches a tar, while the others wait for it. What fails here fails again where it is read, and is reported
there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from wavlm.errors import CodedError
from wavlm.loader.sampler import Update
from wavlm.storage.cache import ObjectCache
from wavlm.storage.elsewhere import bring_near, cache_of
from wavlm.storage.seals import sealed_files

log = logging.getLogger(__name__)

Tar = tuple[Path, str]  # folder and name


def find_caches(folders: tuple[Path, ...]) -> dict[Path, ObjectCache]:
    """The caches through which tars of these folders are read; empty if all are here."""
    return {folder: cache for folder in folders if (cache := cache_of(folder))}


def fetch_ahead(updates: Iterator[Update], tars: list[Tar]) -> Iterator[Update]:
    """The same updates. Meanwhile a thread fetches the tars; it ends with the process."""
    # Loaders are forked after the first update: nothing may be fetched by then, because a fork copies no thread.
    yield next(updates)
    threading.Thread(target=_fetch, args=(tars,), daemon=True, name="ahead").start()
    yield from updates


def _fetch(tars: list[Tar]) -> None:
    caches = find_caches(tuple(dict.fromkeys(folder for folder, _ in tars)))
    left = min((cache.most_bytes for cache in caches.values()), default=0)
    for folder, name in tars:
        if folder not in caches:
            continue
        try:
            left -= sealed_files(folder)[name].bytes
            if left < 0:
                log.warning("the cache does not hold all %d tars: some are fetched several times an epoch", len(tars))
                return
            bring_near(folder, name)
        except (CodedError, OSError) as error:
            log.warning("%s was not fetched ahead: %s", name, error)
            return
