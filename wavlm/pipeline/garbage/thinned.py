"""Corpora whose audio was deleted: complete as long as nothing is made from them, and made again when something is."""

from __future__ import annotations

from collections.abc import Iterable

from wavlm.corpus.inside import has_archives
from wavlm.pipeline.artifacts import Artifact, Corpus
from wavlm.pipeline.store import Store
from wavlm.storage.drops import read_dropped


def find_thinned(artifacts: Iterable[Artifact], store: Store) -> list[Artifact]:
    """The corpora that have to be made again, because their audio was deleted and one of these artifacts reads it.

    `artifacts`: what is to be made.
    """
    found = {item.key: item for artifact in artifacts for item in artifact.needs if isinstance(item, Corpus)}
    return [item for item in found.values() if store.is_complete(item) and _lacks_audio(item, store)]


def _lacks_audio(corpus: Corpus, store: Store) -> bool:
    """Whether audio was deleted. What was left in archives is not, as long as these are there."""
    folder = store.path(corpus)
    return bool(read_dropped(folder)) and not has_archives(folder, store.downloads)
