"""Fetch tars ahead of the loading processes, where they are read through the cache of a mirror.

The order is known: the tars of the window that is read, and behind them those of the next one, as far as they fit into
the cache. Each rank goes through the same list; whoever comes first fetches a tar, while the others wait for it. What
fails here fails again where it is read, and is reported there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wavlm.errors import CodedError
from wavlm.loader.sampler import BucketedSampler, Update
from wavlm.loader.utterances import LabelledUtterances
from wavlm.loader.windows import WindowedEpoch
from wavlm.storage.elsewhere import bring_near, cache_of
from wavlm.storage.seals import sealed_files

log = logging.getLogger(__name__)

Tar = tuple[Path, str]  # folder and name


class FetchAhead:
    """Follows the plan of a training. Its thread ends with the process."""

    def __init__(self, sampler: BucketedSampler, utterances: LabelledUtterances) -> None:
        self._sampler, self._utterances = sampler, utterances
        self._caches = {folder: cache for folder in utterances.folders if (cache := cache_of(folder))}
        self._at: tuple[int, int] | None = None  # epoch and window
        self._wanted: list[Tar] = []
        self._has_warned = False
        self._changed = threading.Event()

    @property
    def is_needed(self) -> bool:
        """Whether any of the shards are read through a cache."""
        return bool(self._caches)

    def follow(self, updates: Iterator[Update]) -> Iterator[Update]:
        """The same updates. When a window begins, it and the next one are fetched."""
        # Loaders are forked after the first update: nothing may be fetched by then, because a fork copies no thread.
        yield next(updates)
        for update in updates:
            if self._caches and (at := self._window_of(update)) != self._at:
                if self._at is None:
                    threading.Thread(target=self._work, daemon=True, name="ahead").start()
                self._at, self._wanted = at, self._choose(*at)
                self._changed.set()
            yield update

    def _window_of(self, update: Update) -> tuple[int, int]:
        position = update.micro_batches[-1].position  # in the epoch that the sampler has in memory
        epoch = self._sampler.epoch(position.epoch)
        return position.epoch, epoch.window_of(position.group) if isinstance(epoch, WindowedEpoch) else 0

    def _choose(self, epoch: int, window: int) -> list[Tar]:
        """The tars of a window and of the next one that fit into the cache together."""
        here, windows = self._sampler.epoch(epoch), self._sampler.windows
        if windows and isinstance(here, WindowedEpoch):
            now = here.segments
            following = now[window + 1] if window + 1 < len(now) else windows.deal(epoch + 1)[0]
            shards = (windows.shards_in(segments) for segments in (now[window], following))
            tars = [tar for part in shards for tar in self._utterances.tars_of(part)]
        else:
            tars = self._utterances.tars_of(np.arange(self._utterances.num_tars))
        left = min(cache.most_bytes for cache in self._caches.values())
        chosen: list[Tar] = []
        for folder, name in dict.fromkeys(tars):
            if folder in self._caches:
                left -= sealed_files(folder)[name].bytes
                if left < 0:
                    self._warn_of_small_cache(len(chosen), len(set(tars)))
                    break
                chosen.append((folder, name))
        return chosen

    def _warn_of_small_cache(self, num_kept: int, num_needed: int) -> None:
        """Once: tars are then fetched several times per epoch."""
        if not self._has_warned:
            self._has_warned = True
            log.warning("the cache holds %d of %d tars that are needed next: give it more bytes", num_kept, num_needed)

    def _work(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            for folder, name in self._wanted:
                if self._changed.is_set():
                    break
                try:
                    bring_near(folder, name)
                except (CodedError, OSError) as error:
                    log.warning("%s was not fetched ahead: %s", name, error)
                    break
