"""Labels for training: all corpora in one flat file, mapped into memory.

The file holds one label per network frame (50 Hz), in the order of the indexes of the shards. It is built once in a
cache folder, from the label files. Labels and audio are joined by key, never by position. A shard whose sha256 is
not the one in its label file is refused. A cache that was changed is built again. Needs neither faiss nor the network.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from wavlm.labels.facts import labels_path
from wavlm.labels.files import FORMAT, Header, LabelMismatchError, Labels, ShardLabels, read_labels
from wavlm.shards import listing_path, num_utterances, read_columns, read_listing
from wavlm.specs.shapes import FRAME_RATE_HZ, num_labels
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.files import atomic_path, open_atomic
from wavlm.storage.seals import check_sealed, sha256_as_it_is

log = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FlatLabels:
    """One label per network frame, of all utterances of all corpora."""

    labels: Labels  # (all frames,) at 50 Hz
    starts: Integers  # (utterances + 1,), where each utterance begins in `labels`
    first_row: tuple[int, ...]  # of each corpus, in `starts`

    def of(self, corpus: int, row: int) -> Labels:
        """Labels of an utterance, given the number of its corpus and its row in the index: (F,)."""
        utterance = self.first_row[corpus] + row
        return self.labels[self.starts[utterance] : self.starts[utterance + 1]]


def open_flat_labels(labels_dirs: Sequence[Path], shards_dirs: Sequence[Path], cache: Path) -> FlatLabels:
    """Open the labels of several corpora for training. The first call builds the flat file in the folder `cache`.

    A file that is there is compared with its digest.

    Raises LabelMismatchError if labels and shards do not fit in any respect.
    """
    corpora = list(zip(labels_dirs, shards_dirs, strict=True))
    name = _fingerprint(corpora)
    flat_path, starts_path = cache / f"labels-{name}.npy", cache / f"starts-{name}.npy"
    cache.mkdir(parents=True, exist_ok=True)
    note = cache / f"labels-{name}.json"
    if not _is_whole(note, flat_path, starts_path):  # all ranks of a machine read it at the same time
        with FileLock(cache / f"labels-{name}.lock"):
            if not _is_whole(note, flat_path, starts_path):
                _build_flat(corpora, flat_path, starts_path)
                write_digested(note, {path.name: sha256_as_it_is(path) for path in (flat_path, starts_path)})
    sizes = [num_utterances(shards_dir) for shards_dir in shards_dirs]
    return FlatLabels(
        # Plain arrays on the same memory: slicing a memmap takes microseconds.
        labels=np.asarray(np.load(flat_path, mmap_mode="r", allow_pickle=False)),
        starts=np.asarray(np.load(starts_path, mmap_mode="r", allow_pickle=False)),
        first_row=tuple(int(first) for first in np.cumsum([0, *sizes[:-1]])),
    )


def _is_whole(note: Path, *paths: Path) -> bool:
    """Whether the files in the cache are those that were built. Of 94,000 hours this reads 34 GB, once."""
    try:
        found = read_digested(note)
        whole = found.has_digest and all(found.content[path.name] == sha256_as_it_is(path) for path in paths)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError) as error:
        log.warning("the cache of labels cannot be read and is made again: %s; at %s", error, note)
        return False
    if not whole:
        log.warning("the cache of labels was changed and is made again; at %s", note.parent)
    return whole


def _fingerprint(corpora: Sequence[tuple[Path, Path]]) -> str:
    """A name for these labels of these shards, from the files that list their checksums."""
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for labels_dir, shards_dir in corpora:
        for path in (labels_path(labels_dir), listing_path(shards_dir)):
            if not path.is_file():
                raise LabelMismatchError(f"{path.name} is missing, so the folder is not complete; at {path.parent}")
            check_sealed(path)
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build_flat(corpora: Sequence[tuple[Path, Path]], flat_path: Path, starts_path: Path) -> None:
    """Write both files shard by shard. Only the labels of one shard are in memory."""
    lengths = [_num_frames(shards_dir) for _, shards_dir in corpora]
    starts = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
    if not starts[-1]:
        raise LabelMismatchError(f"no frames at all; in {[str(shards) for _, shards in corpora]}")
    codebooks: set[tuple[str, str]] = set()
    with atomic_path(flat_path) as temporary:
        flat = np.lib.format.open_memmap(temporary, "w+", np.dtype(np.uint16), (int(starts[-1]),))
        end = 0
        for labels_dir, shards_dir in corpora:
            for header, labels in _read_corpus(labels_dir, shards_dir):
                codebooks.add((header.codebook_sha256, header.features))
                begin, end = end, end + len(labels)
                flat[begin:end] = labels
        flat.flush()
        if len(codebooks) > 1:
            raise LabelMismatchError(
                f"labels of different codebooks: {sorted(codebooks)}; in {[str(labels) for labels, _ in corpora]}"
            )
    with open_atomic(starts_path) as file:
        np.save(file, starts, allow_pickle=False)


def _num_frames(shards_dir: Path) -> Integers:
    """Network frames of each utterance, in the order of the index."""
    return num_labels(read_columns(shards_dir, ["samples"])["samples"].to_numpy(), FRAME_RATE_HZ)


def _read_corpus(labels_dir: Path, shards_dir: Path) -> Iterator[tuple[Header, Labels]]:
    """The labels of each shard at 50 Hz, its utterances in the order of the index."""
    index = read_columns(shards_dir, ["key", "shard", "samples"])
    listing = read_listing(shards_dir)
    codes = index["shard"].combine_chunks().dictionary_encode().indices.to_numpy()
    bounds = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    for begin, end in pairwise([0, *bounds.tolist(), len(codes)]):
        name = index["shard"][begin].as_py()
        found = read_labels(labels_dir, name)
        if name not in listing:
            raise LabelMismatchError(f"the index names {name}, which is not listed; at {shards_dir}")
        if found.header.shard_sha256 != (expected := listing[name].sha256):
            raise LabelMismatchError(
                f"labels of a shard with sha256 {found.header.shard_sha256}, expected {expected}; "
                f"at {shards_dir / name}, {labels_dir}"
            )
        rows = index.slice(begin, end - begin)
        yield found.header, _order_labels(found, rows["key"].to_pylist(), rows["samples"].to_numpy())


def _order_labels(shard: ShardLabels, keys: Sequence[str], num_samples: Integers) -> Labels:
    """The labels of these utterances, one after the other, one per network frame."""
    by_key = shard.by_key
    if unknown := sorted(set(keys) ^ set(by_key)):
        raise LabelMismatchError(
            f"{len(by_key)} utterances have labels, {len(keys)} are in the index; at {', '.join(unknown[:5])}"
        )
    rate_hz = shard.header.label_rate_hz
    for key, expected in zip(keys, num_labels(num_samples, rate_hz), strict=True):
        if (found := len(by_key[key])) != expected:
            raise LabelMismatchError(f"{found} labels, expected {expected} at {rate_hz} Hz; at utterance {key}")
    return np.concatenate([by_key[key][:: rate_hz // FRAME_RATE_HZ] for key in keys])
