"""Archives without their publisher's digest: fill in the digests of first downloads, and make these downloads.

Such an archive is to a corpus what a folder is: before it was read, nobody knows what it holds, and the key of all that
is made from it is `?`. Once its digest is noted, it is pinned like any other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, HttpsSource

logger = logging.getLogger(__name__)


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
        logger.info("%s: first download %d of %d", spec.name, number + 1, len(sources))
        fetch_first(source, store.downloads, _share(progress, number, len(sources)), None, credentials)


def describe_digests(spec: CorpusSpec) -> Iterator[str]:
    """How many archives of a resolved corpus have no digest from their publisher; nothing if all have one."""
    count, unknown = len(spec.unpinned), len(unknown_archives(spec))
    if not count:
        return
    of = "1 archive has" if count == 1 else f"{count:,} archives have"
    left = f", and {unknown:,} of them were not downloaded yet" if unknown else ""
    yield f"{of} no digest from the publisher: the first download says which bytes are right{left}"


def _share(progress: Progress, number: int, count: int) -> Progress:
    """Progress of one archive of several."""

    def report(done: float, total: float) -> None:
        progress(number + (min(done / total, 1.0) if total else 0.0), count)

    return report
