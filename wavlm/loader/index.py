"""The index of one split of several corpora as columns that are mapped into memory, shared by all ranks of a machine.

The first rank makes them, from the indexes of the shards; each later start opens them in milliseconds. Their name is
the digest of what they are made from. An utterance takes some 30 bytes beside its key and, of held-out speech, 32 for
its sha256.

Legend: U utterances, in the order of the job's corpora and, within one, of its index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.mixing.audio_pool import Split
from wavlm.shards import find_copies_of_valid, listing_path
from wavlm.shards.index import index_path, stream_split
from wavlm.specs import UNKNOWN_LANGUAGE
from wavlm.storage.arrow import bytes_of_texts, ends_of_texts, from_mask, to_numbers
from wavlm.storage.columns import ColumnWriter, MappedColumns, Texts, open_columns
from wavlm.storage.seals import sha256_as_sealed

FORMAT = 1
# dtype of each column. An utterance of 2^32 samples would last for three days.
COLUMNS = {
    "corpus": "<u2",  # its number
    "row": "<u4",  # in the index of its corpus
    "shard": "<u4",  # its number in `shards` of its corpus
    "offset": "<u8",  # of the FLAC in the shard
    "size": "<u4",  # bytes of the FLAC
    "samples": "<u4",
    "language": "<u2",  # its number in `languages`
    "key_ends": "<u8",
    "key_text": "|u1",
}
SHA256_BYTES = 32
READ = ("key", "shard", "offset", "size", "samples", "language")
LINE_FEED = ord("\n")
FEW_TEXTS = ("shard", "language")  # columns with few texts, each of which comes once per batch

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class UtteranceIndex:
    """What the trainer needs of the utterances of a split."""

    columns: MappedColumns

    def __len__(self) -> int:
        return len(self.columns["row"])

    @property
    def keys(self) -> Texts:
        return Texts(self.columns["key_text"], self.columns["key_ends"])

    @property
    def sha256s(self) -> npt.NDArray[np.void]:
        """Of the FLAC of each utterance, as 32 bytes: (U,). Held-out speech only."""
        return self.columns["sha256"].view(f"V{SHA256_BYTES}")

    @cached_property
    def shards(self) -> tuple[tuple[str, ...], ...]:
        """Names of the tars of each corpus that have utterances of this split."""
        return tuple(map(tuple, self.columns.about["shards"]))

    @property
    def languages(self) -> tuple[str, ...]:
        """In the order of the alphabet."""
        return tuple(self.columns.about["languages"])

    @property
    def copies_of_valid(self) -> int:
        """Utterances of train that are left out, because their content is in a valid split."""
        return int(self.columns.about["copies_of_valid"])

    @property
    def digest(self) -> str:
        """Hex sha256 of the keys, in order, each with a line feed behind it."""
        return str(self.columns.about["keys_sha256"])


def open_index(shards_dirs: Sequence[Path], split: Split, cache: Path, *, check: bool = True) -> UtteranceIndex:
    """The index of a split of these shards folders, without copies of held-out speech if it is train.

    check: as `open_columns`. Raises BadDataError if an index is missing or damaged.
    """
    folder = cache / f"index-{split}-{_name(shards_dirs, split)}"
    return UtteranceIndex(open_columns(folder, partial(_build, shards_dirs, split), check=check))


def _name(shards_dirs: Sequence[Path], split: Split) -> str:
    digest = hashlib.sha256(f"format {FORMAT} {split}".encode())
    for folder in shards_dirs:
        for path in (listing_path(folder), index_path(folder)):
            # A file that is not there is refused by who reads it.
            digest.update(f" {sha256_as_sealed(path) if path.exists() else ''}".encode())
    return digest.hexdigest()[:16]


def _build(shards_dirs: Sequence[Path], split: Split, writer: ColumnWriter) -> Mapping[str, JsonValue]:
    copies = find_copies_of_valid(shards_dirs) if split == "train" else None
    keys, languages = hashlib.sha256(), _Numbers()
    shards: list[list[str]] = []
    for name, dtype in COLUMNS.items():
        writer.append(name, np.empty(0, dtype), dtype)  # a split may be empty
    numbered: list[Array] = []
    writer.append("shard_ends", np.empty(0), "<u8")
    for corpus, folder in enumerate(shards_dirs):
        of_corpus, counts = _Numbers(), _Counts(writer.length("row"))
        for rows, batch in _chosen(folder, split, copies[corpus] if copies else None):
            shard = of_corpus.number(batch["shard"])
            values = {
                "corpus": np.full(len(rows), corpus, COLUMNS["corpus"]),
                "row": rows,
                "shard": shard,
                **{name: to_numbers(batch[name]) for name in ("offset", "size", "samples")},
                "key_ends": _append_texts(writer, batch["key"], keys),
            }
            for name, found in values.items():
                writer.append(name, found, COLUMNS[name])
            counts.add(shard, folder)
            numbered.append(languages.number(batch["language"]).astype(COLUMNS["language"]))
            if split == "valid":
                writer.append("sha256", _to_bytes(batch["sha256"]), "|u1")
        shards.append(of_corpus.names)
        writer.append("shard_ends", counts.ends, "<u8")
    pa.default_memory_pool().release_unused()  # else the rank that builds keeps it to its end
    named = [name or UNKNOWN_LANGUAGE for name in languages.names]
    ordered = sorted(set(named))
    place_of = np.array([ordered.index(name) for name in named], COLUMNS["language"])
    for part in numbered:
        writer.append("language", place_of[part], COLUMNS["language"])
    return {
        "shards": [[*names] for names in shards],
        "languages": [*ordered],
        "copies_of_valid": sum(int(mask.sum()) for mask in copies) if copies else 0,
        "keys_sha256": keys.hexdigest(),
    }


class _Numbers:
    """Numbers for names, in the order in which they come."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._number_of)

    def number(self, column: pa.DictionaryArray) -> Array:
        """The number of each name, (names,). Equal ones that stand beside each other are looked at once."""
        codes, names = to_numbers(column.indices), column.dictionary.to_pylist()
        numbers = np.zeros(len(names), np.uint32)
        for code in codes[np.append(True, codes[1:] != codes[:-1])[: len(codes)]].tolist():
            numbers[code] = self._number_of.setdefault(names[code], len(self._number_of))
        found: Array = numbers[codes]
        return found


class _Counts:
    """How many utterances each shard of a corpus has, counted as they come."""

    def __init__(self, before: int) -> None:
        """before: utterances of earlier corpora."""
        self._before, self._counts = before, np.zeros(0, np.int64)

    def add(self, shards: Array, folder: Path) -> None:
        """Count some utterances, given the number of the shard of each."""
        last = len(self._counts) - 1
        if (np.diff(shards.astype(np.int64), prepend=max(last, 0)) < 0).any():
            raise BadDataError(
                "INDEX_UNREADABLE",
                f"the rows of a tar are not beside each other; at {index_path(folder)}; make the shards again",
            )
        counts = np.bincount(shards, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    @property
    def ends(self) -> Array:
        """Where each shard ends in the order of the index."""
        ends: Array = self._before + np.cumsum(self._counts)
        return ends


def _chosen(folder: Path, split: Split, copies: Mask | None) -> Iterator[tuple[Array, pa.RecordBatch]]:
    """The rows of a split and their numbers, batch by batch."""
    columns = [*READ, *(["sha256"] if split == "valid" else [])]
    for rows, batch in stream_split(folder, columns, split, FEW_TEXTS):
        is_chosen = np.ones(len(rows), np.bool_) if copies is None else ~copies[rows]
        if is_chosen.all() and len(rows):
            yield rows, batch
        elif is_chosen.any():
            yield rows[is_chosen], batch.filter(from_mask(is_chosen))


def _append_texts(writer: ColumnWriter, column: pa.Array, digest: Any) -> Array:
    """Write the bytes of some keys; where each ends among all that were written: (keys,)."""
    text, ends = bytes_of_texts(column), ends_of_texts(column).astype(np.int64)
    before = writer.length("key_text") - ends[0]
    writer.append("key_text", text, "|u1")
    lines, is_text = np.full(len(text) + len(column), LINE_FEED, np.uint8), np.ones(len(text) + len(column), np.bool_)
    is_text[ends[1:] - ends[0] + np.arange(len(column))] = False
    lines[is_text] = text
    digest.update(lines)
    moved: Array = before + ends[1:]
    return moved


def _to_bytes(sha256s: pa.Array) -> Array:
    """Hex digests as bytes, 32 each."""
    return np.frombuffer(bytes.fromhex("".join(sha256s.to_pylist())), np.uint8)
