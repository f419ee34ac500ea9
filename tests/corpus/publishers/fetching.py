"""Build a shipped corpus from archives of a local server, in the place of its own sources."""

from __future__ import annotations

from pathlib import Path

from tests.corpus.corpora import spec
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.corpus.manifest import ManifestRow, read_manifest
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec, HttpsSource
from wavlm.specs.yaml import read_corpus

SHIPPED = Path(__file__).parents[3] / "data_specs/corpora"


def from_server(name: str, sources: list[HttpsSource], **fields: object) -> CorpusSpec:
    """A shipped corpus with other sources."""
    shipped = read_corpus(SHIPPED / f"{name}.yaml")
    names = ("layout", "language", "max_left_out", "role")
    return spec(sources=tuple(sources), **{**{name: getattr(shipped, name) for name in names}, **fields})


def fetch(
    root: Path, name: str, sources: list[HttpsSource], **fields: object
) -> tuple[CorpusFacts, dict[str, ManifestRow]]:
    """Build it; its facts, and its rows by key."""
    wanted = from_server(name, sources, **fields)
    facts = build_corpus(wanted, root / "downloads", root / "out", no_progress, None, 0)
    return facts, {row.key: row for row in read_manifest(root / "out")}
