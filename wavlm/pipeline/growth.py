"""What a plan says of corpora that grow: which generation it is, what has changed, and what is taken over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from wavlm.corpus.facts import CorpusFacts
from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import Artifact, Corpus, Labels, Shards
from wavlm.pipeline.lost_lists import find_lost
from wavlm.pipeline.resolve import known_contents
from wavlm.pipeline.store import Store

MOST_ROWS = 50_000  # whose inputs are digested for a plan, which answers at once


def describe_generation(corpus: Corpus, store: Store) -> Iterator[str]:
    """Which generation of a folder a corpus is, and what has changed since the one before."""
    source = corpus.spec.folder
    if source is None or not corpus.is_known:
        return
    from wavlm.corpus.growth.generations import read_list

    found = read_list(corpus.spec)
    if found and found.latest and not found.fits(corpus.spec):
        yield f"a new list of generations begins: that in {found.folder} was made for another spec, and is kept aside"
    elif source.generation > 1 or (found and found.latest > 1):
        yield f"generation {source.generation}"
    if found is None and (lost := find_lost(corpus.spec, store)):
        yield f"its list of generations is lost; a run takes it from {lost[1].relative_to(store.root)}"
    if found is None or not 0 < found.latest < source.generation:
        return
    if contents := known_contents(corpus.spec, store):
        changes = found.changes(contents)
        counts = (changes.count("+"), changes.count("~"), changes.count("-"))
        yield "files since generation {}: {} added, {} changed, {} removed".format(found.latest, *counts)


def describe_reuse(artifact: Artifact, store: Store) -> Iterator[str]:
    """How many parts of shards, or files of labels, are taken over when this is made: `reuses 4,812 of 4,830 parts`."""
    if not isinstance(artifact, Shards | Labels) or not artifact.is_known:
        return
    siblings = store.siblings(artifact)
    if not siblings:
        return
    try:
        found = _count_parts(artifact, store, siblings) if isinstance(artifact, Shards) else None
        found = _count_labels(artifact, store, siblings) if isinstance(artifact, Labels) else found
    except BadDataError as error:
        yield f"nothing is known of what can be taken over: {error}"
        return
    if found is None:
        yield f"takes over from {siblings[0].name} what stays the same"
    elif found[0]:
        what = "parts" if isinstance(artifact, Shards) else "files of labels"
        yield f"reuses {found[0]:,} of {found[1]:,} {what}"


def _count_parts(shards: Shards, store: Store, siblings: list[Path]) -> tuple[int, int] | None:
    """Parts that are taken over, and all; None if that is not known yet, or takes long to find out."""
    if not store.is_complete(shards.corpus) or store.facts(shards.corpus, CorpusFacts).utterances > MOST_ROWS:
        return None
    from wavlm.shards.listing import read_listing
    from wavlm.shards.plan import digest_inputs, write_plan

    corpus = shards.corpus.spec
    with TemporaryDirectory() as scratch:
        parts = write_plan(store.path(shards.corpus), shards.spec, Path(scratch))
        wanted = {
            digest_inputs(part.stem, part.read_rows(), shards.spec, corpus.channels, corpus.role) for part in parts
        }
    there = {item.inputs for sibling in siblings for item in read_listing(sibling).values()}
    return len(wanted & there), len(parts)


def _count_labels(labels: Labels, store: Store, siblings: list[Path]) -> tuple[int, int] | None:
    """Files of labels that are taken over, and all; None if that is not known yet."""
    if not store.has_all((labels.codebook, labels.shards)):
        return None
    from wavlm.labels.facts import read_codebook
    from wavlm.labels.files import label_file, read_header
    from wavlm.shards.listing import read_listing

    codebook = read_codebook(store.path(labels.codebook))
    listing = read_listing(store.path(labels.shards))
    count = 0
    for name, shard in listing.items():
        headers = (read_header(label_file(sibling, name)) for sibling in siblings)
        fits = ((item.shard_sha256, item.codebook_sha256) for item in headers if item)
        count += (shard.sha256, codebook.sha256) in fits
    return count, len(listing)
