"""Recordings of a test part that were trained on before: files with the same bytes, and what to say of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from wavlm.corpus.manifest import stream_manifest
from wavlm.evaluation.examples import Example, Take, takes_of
from wavlm.evaluation.labelled import LabelledCorpus


def digests_of(corpus: Path, keys: Collection[str] | None = None) -> set[str]:
    """The sha256 of the files of a corpus; with keys, of these recordings alone."""
    found: set[str] = set()
    for batch in stream_manifest(corpus, ["key", "sha256"]):
        rows = zip(batch["key"].to_pylist(), batch["sha256"].to_pylist(), strict=True)
        found.update(digest for key, digest in rows if keys is None or key in keys)
    return found


def find_heard(labelled: Iterable[LabelledCorpus], digests: Collection[str]) -> frozenset[Take]:
    """The recordings of labelled corpora whose files have one of these digests."""
    heard = set()
    for item in labelled if digests else ():
        keys: set[str] = set()
        for batch in stream_manifest(item.corpus_dir, ["key", "sha256"]):
            pairs = zip(batch["key"].to_pylist(), batch["sha256"].to_pylist(), strict=True)
            keys.update(key for key, sha256 in pairs if sha256 in digests)
        heard |= {row.take for row in item.rows if row.key in keys}
    return frozenset(heard)


def count_heard(examples: Iterable[Example], heard: Collection[Take]) -> int:
    """How many examples have a recording among these, or a part of one."""
    return sum(any(replace(take, start=0, stop=None) in heard for take in takes_of(it.audio)) for it in examples)
