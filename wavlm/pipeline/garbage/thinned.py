"""Corpora whose audio was deleted: complete as long as nothing is made from them, and made again when something is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wavlm.corpus.inside import has_archives
from wavlm.pipeline.artifacts import Artifact, Corpus
from wavlm.pipeline.store import Store
from wavlm.storage.drops import read_dropped
from wavlm.storage.elsewhere import read_elsewhere


def find_thinned(artifacts: Iterable[Artifact], store: Store) -> list[Artifact]:
    """The corpora that have to be made again, because their audio was deleted and one of these artifacts reads it.

    `artifacts`: what is to be made.
    """
    found = {item.key: item for artifact in artifacts for item in artifact.needs if isinstance(item, Corpus)}
    return [
        item for item in found.values() if store.is_complete(item) and _is_thinned(store.path(item), store.downloads)
    ]


def _is_thinned(folder: Path, archives: Path) -> bool:
    """Whether audio was deleted that cannot be had elsewhere. What was left in archives can, while they are there."""
    elsewhere, dropped = read_elsewhere(folder), read_dropped(folder)
    if elsewhere:
        return bool(dropped.intersection(elsewhere.left_out))
    return bool(dropped) and not has_archives(folder, archives)
