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
import pyarrow.compute as pc
from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.mixing.audio_pool import Split
from wavlm.shards import find_copies_of_valid, listing_path
from wavlm.shards.index import index_path, read_split, stream_split
from wavlm.specs import UNKNOWN_LANGUAGE
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
    end = 0
    for corpus, folder in enumerate(shards_dirs):
        of_corpus, num_rows, shards_of = _Numbers(), 0, list[Array]()
        for rows, batch in _chosen(folder, split, copies[corpus] if copies else None):
            values = {
                "corpus": np.full(len(rows), corpus),
                "row": rows,
                "shard": of_corpus.number(batch["shard"]),
                **{name: batch[name].to_numpy() for name in ("offset", "size", "samples")},
                "key_ends": _append_texts(writer, batch["key"], keys),
            }
            shards_of.append(np.asarray(values["shard"], COLUMNS["shard"]))
            for name, found in values.items():
                writer.append(name, found, COLUMNS[name])
            numbered.append(languages.number(_name_languages(batch["language"])).astype(COLUMNS["language"]))
            if split == "valid":
                writer.append("sha256", _to_bytes(batch["sha256"]), "|u1")
            num_rows += len(rows)
        shards.append(of_corpus.names)
        writer.append("shard_ends", _find_ends(shards_of, len(of_corpus.names)) + end, "<u8")
        end += num_rows
    pa.default_memory_pool().release_unused()  # else the rank that builds keeps it to its end
    ordered = sorted(languages.names)
    place_of = np.array([ordered.index(name) for name in languages.names], COLUMNS["language"])
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

    def number(self, column: pa.Array) -> Array:
        encoded = column.dictionary_encode()
        found = [self._number_of.setdefault(name, len(self._number_of)) for name in encoded.dictionary.to_pylist()]
        numbers: Array = np.array(found, np.int64)[encoded.indices.to_numpy()]
        return numbers


def _chosen(folder: Path, split: Split, copies: Mask | None) -> Iterator[tuple[Array, pa.RecordBatch]]:
    """The rows of a split and their numbers, batch by batch."""
    rows, at = np.flatnonzero(read_split(folder, split)), 0
    for batch in stream_split(folder, [*READ, *(["sha256"] if split == "valid" else [])], split):
        here, at = rows[at : at + len(batch)], at + len(batch)
        is_chosen = np.ones(len(here), np.bool_) if copies is None else ~copies[here]
        if is_chosen.any():
            yield here[is_chosen], batch.filter(pa.array(is_chosen))


def _find_ends(shards_of: Sequence[Array], num_shards: int) -> Array:
    """Where each shard ends in the order of the index, given the shards of its utterances."""
    whole = np.concatenate([np.empty(0, COLUMNS["shard"]), *shards_of])
    if (np.diff(whole.astype(np.int64)) < 0).any():
        raise BadDataError(
            "INDEX_UNREADABLE",
            "the rows of a tar are not beside each other; at the index of shards; make the shards again",
        )
    ends: Array = np.cumsum(np.bincount(whole, minlength=num_shards))
    return ends


def _append_texts(writer: ColumnWriter, column: pa.Array, digest: Any) -> Array:
    """Write the bytes of some keys; where each ends among all that were written: (keys,)."""
    begin = writer.length("key_text")
    lengths = pc.binary_length(column).to_numpy()
    writer.append("key_text", _bytes_of(column), "|u1")
    digest.update(_bytes_of(pc.binary_join_element_wise(column, "", "\n")))
    return begin + np.cumsum(lengths, dtype=np.int64)


def _bytes_of(column: pa.Array) -> Array:
    """The bytes of some texts, one behind the other."""
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]] if data is not None else np.empty(0, np.uint8)


def _name_languages(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), UNKNOWN_LANGUAGE, column)


def _to_bytes(sha256s: pa.Array) -> Array:
    """Hex digests as bytes, 32 each."""
    return np.frombuffer(bytes.fromhex("".join(sha256s.to_pylist())), np.uint8)
