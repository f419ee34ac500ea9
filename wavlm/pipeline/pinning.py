"""What `wavlm pin` does: write the digests of first downloads beside corpus specs, and take what was replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wavlm.errors import UsageError
from wavlm.pipeline.first_downloads import fill_in_digests
from wavlm.pipeline.resolve import corpora_of
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, HttpsSource
from wavlm.specs.tree import parse_tree
from wavlm.specs.yaml import find_recipe, read_corpus, read_recipe


def read_unpinned(path: Path) -> tuple[CorpusSpec, ...]:
    """The corpora of a corpus spec or of a recipe with archives that have no digest from their publisher.

    Raises RecipeError, and UsageError (NOTHING_FITS) if there is none.
    """
    is_corpus = path.is_file() and "sources" in parse_tree(path).fields
    specs = (read_corpus(path),) if is_corpus else corpora_of(read_recipe(path))
    if found := tuple(spec for spec in specs if spec.unpinned):
        return found
    raise UsageError(
        "NOTHING_FITS",
        f"all archives of {', '.join(spec.name for spec in specs)} have a digest from their publisher, or it is a "
        f"folder; at {path if is_corpus else find_recipe(path)}; name a corpus with `digest_from: first-download`",
    )


def list_noted(spec: CorpusSpec, store: Store) -> CorpusSpec:
    """Write the digests that the store has noted into the list beside the corpus spec. Returns the resolved corpus.

    Raises CannotWriteError (DIGESTS_CLOSED), LockedError and BadDataError (DIGESTS_DAMAGED).
    """
    from wavlm.corpus.download.noted import fill_digests, list_digests

    list_digests(fill_digests(spec.unpinned, store.downloads))
    return fill_in_digests(spec, store)


def accept_download(specs: Sequence[CorpusSpec], store: Store, sha256: str) -> tuple[CorpusSpec, HttpsSource]:
    """Take a refused download in the place of the first one: the corpus is another one from now on.

    Raises UsageError (NOTHING_FITS) if there is no such download.
    """
    from wavlm.corpus.download.unpinned import accept

    owners = {source: spec for spec in specs for source in fill_in_digests(spec, store).unpinned}
    source = accept(tuple(owners), store.downloads, sha256)
    return owners[source], source
