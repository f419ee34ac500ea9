"""Archives without their publisher's digest: fill in the digests of first downloads, and make these downloads.

Such an archive is to a corpus what a folder is: before it was read, nobody knows what it holds, and the key of all that
is made from it is `?`. Once its digest is noted, it is pinned like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wavlm.errors import UsageError
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, HttpsSource
from wavlm.specs.tree import parse_tree
from wavlm.specs.yaml import find_recipe, read_corpus, read_recipe


def fill_in_digests(spec: CorpusSpec, store: Store) -> CorpusSpec:
    """A corpus with the digests of first downloads, as far as they are noted. Raises BadDataError (DIGESTS_DAMAGED)."""
    if not unknown_archives(spec):
        return spec
    from wavlm.corpus.download.noted import fill_digests

    known = fill_digests(spec.unpinned, store.downloads)
    sources = (
        item.model_copy(update={"sha256": known[item].sha256})
        if isinstance(item, HttpsSource) and item in known
        else item
        for item in spec.sources
    )
    return spec.model_copy(update={"sources": tuple(sources)})


def unknown_archives(spec: CorpusSpec) -> tuple[HttpsSource, ...]:
    """The archives that have to be downloaded before the key of a corpus is known."""
    return tuple(source for source in spec.unpinned if not source.is_known)


def download_unknown(spec: CorpusSpec, store: Store, progress: Progress = no_progress) -> None:
    """Download what is not known of a corpus' archives, one after another, and note their digests.

    Raises UsageError (GATED, CREDENTIALS_MISSING, SOURCES) and what downloading raises.
    """
    sources = unknown_archives(fill_in_digests(spec, store))
    if not sources:
        return
    from wavlm.corpus.credentials import read_credentials
    from wavlm.corpus.download.unpinned import fetch_first
    from wavlm.corpus.sources import refuse_sources

    refuse_sources(spec)
    credentials = read_credentials(spec)
    for number, source in enumerate(sources):
        fetch_first(source, store.downloads, _share(progress, number, len(sources)), None, credentials)


def describe_digests(spec: CorpusSpec) -> Iterator[str]:
    """How many archives of a resolved corpus have no digest from their publisher; nothing if all have one."""
    count, unknown = len(spec.unpinned), len(unknown_archives(spec))
    if not count:
        return
    of = "1 archive has" if count == 1 else f"{count:,} archives have"
    left = f", and {unknown:,} of them were not downloaded yet" if unknown else ""
    yield f"{of} no digest from the publisher: the first download says which bytes are right{left}"


def read_unpinned(path: Path) -> tuple[CorpusSpec, ...]:
    """The corpora of a corpus spec or of a recipe with archives that have no digest from their publisher.

    Raises RecipeError, and UsageError (NOTHING_FITS) if there is none.
    """
    is_corpus = path.is_file() and "sources" in parse_tree(path).fields
    if is_corpus:
        specs: Sequence[CorpusSpec] = (read_corpus(path),)
    else:
        recipe = read_recipe(path)
        specs = (*recipe.speech, *recipe.noise, *recipe.rooms)
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


def _share(progress: Progress, number: int, count: int) -> Progress:
    """Progress of one archive of several."""

    def report(done: float, total: float) -> None:
        progress(number + (min(done / total, 1.0) if total else 0.0), count)

    return report
