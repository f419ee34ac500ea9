"""Which sources a corpus may have; known from its spec alone."""

from __future__ import annotations

from wavlm.errors import UsageError
from wavlm.specs import CorpusSpec, FolderSource


def refuse_sources(spec: CorpusSpec) -> None:
    """Raise UsageError: GATED if a gated corpus would be downloaded, SOURCES if a folder is one source of several."""
    folders = [source for source in spec.sources if isinstance(source, FolderSource)]
    if spec.gated and len(folders) < len(spec.sources):
        raise UsageError(
            "GATED",
            f"{spec.name} needs an agreement with its publisher; at {spec.homepage}; download it by "
            "hand and name its folder in the corpus spec",
        )
    if folders and len(spec.sources) > 1:
        raise UsageError(
            "SOURCES",
            f"{spec.name} has {len(spec.sources)} sources, one of them a folder; expected one "
            "folder alone, or archives; correct the corpus spec",
        )
