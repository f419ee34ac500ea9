"""Which sources a corpus may have; known from its spec alone."""

from __future__ import annotations

from wavlm.errors import UsageError
from wavlm.specs import CorpusSpec, FolderSource
from wavlm.specs.containers import InContainers
from wavlm.specs.manifests import ListedLayout


def refuse_sources(spec: CorpusSpec) -> None:
    """Raise UsageError for sources that the spec may not have.

    GATED if a gated corpus would be downloaded; SOURCES if a folder is one source of several, or is needed.
    """
    folders = [source for source in spec.sources if isinstance(source, FolderSource)]
    if spec.gated and len(folders) < len(spec.sources):
        raise UsageError(
            "GATED",
            f"{spec.name} needs an agreement with its publisher; at {spec.homepage}; download it by "
            "hand and name its folder in the corpus spec",
        )
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


def _need_of_folder(spec: CorpusSpec) -> str:
    """Why a layout can only be that of a folder; empty if it can be that of archives."""
    if isinstance(spec.layout, InContainers):
        return "its layout reads containers in a folder"
    if isinstance(spec.layout, ListedLayout) and spec.layout.audio_root:
        return "audio_root leads elsewhere"
    return ""
