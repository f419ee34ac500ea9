"""Which sources a corpus may have; known from its spec alone."""

from __future__ import annotations

from wavlm.errors import UsageError
from wavlm.specs import CorpusSpec, FolderSource, HttpsSource
from wavlm.specs.containers import InContainers
from wavlm.specs.manifests import ListedLayout


def refuse_sources(spec: CorpusSpec) -> None:
    """Raise UsageError for sources that the spec may not have.

    GATED if a gated corpus would be downloaded; SOURCES if a folder is one source of several, or is needed.
    """
    folders = [source for source in spec.sources if isinstance(source, FolderSource)]
    if spec.gated and spec.access is None and len(folders) < len(spec.sources):
        raise UsageError(
            "GATED",
            f"{spec.name} needs an agreement with its publisher; at {spec.homepage}; download it by hand and name its "
            "folder in the corpus spec, or say by `access` which environment variables hold the agreement",
        )
    _refuse_locked(spec)
    if not folders and (needs := _need_of_folder(spec)):
        raise UsageError(
            "SOURCES",
            f"{spec.name} comes from archives, but {needs}; in the corpus spec; unpack the archives by hand, and name "
            "their folder as the source",
        )
    if folders and len(spec.sources) > 1:
        raise UsageError(
            "SOURCES",
            f"{spec.name} has {len(spec.sources)} sources, one of them a folder; expected one "
            "folder alone, or archives; correct the corpus spec",
        )


def _refuse_locked(spec: CorpusSpec) -> None:
    """Raise UsageError (SOURCES) for encrypted archives whose password nobody names, or that are containers."""
    archives = [item for item in spec.sources if isinstance(item, HttpsSource)]
    locked = [item for item in archives if item.encryption != "none" or item.lists == "gigaspeech"]
    if locked and (spec.access is None or not spec.access.password or isinstance(spec.layout, InContainers)):
        raise UsageError(
            "SOURCES",
            f"archives of {spec.name} are encrypted, and access.password names no variable, or they are containers; in "
            "the corpus spec; name the variable, or decrypt them by hand and name their folder",
        )


def _need_of_folder(spec: CorpusSpec) -> str:
    """Why a layout can only be that of a folder; empty if it can be that of archives."""
    archives = [source for source in spec.sources if isinstance(source, HttpsSource)]
    if isinstance(spec.layout, InContainers) and not all(source.to for source in archives):
        return "its layout reads containers, and `to` does not say their paths"
    if isinstance(spec.layout, ListedLayout) and spec.layout.audio_root:
        return "audio_root leads elsewhere"
    return ""
