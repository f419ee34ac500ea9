"""Labelled corpora as tasks read them: each recording with its speaker, part, text, phones and target."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from wavlm.corpus.layouts import Phone
from wavlm.corpus.manifest import BATCH_ROWS, Content, stream_manifest
from wavlm.corpus.targets import read_target_table
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Take
from wavlm.shards.index import read_columns

MANIFEST_COLUMNS = ("speaker", "split", "text", "phones")
FEW_TEXTS = {"speaker", "split", "part", "target"}  # columns whose texts come again and again


@dataclass(frozen=True, slots=True)
class Row:
    """A recording of a labelled corpus."""

    key: str
    speaker: str
    part: str
    text: str | None
    phones: tuple[Phone, ...] | None
    target: Mapping[str, JsonValue]  # `wavlm.corpus.targets`; empty: none
    num_samples: int
    take: Take
    content: str = ""  # of the recording: sha256 of its file, and the region of it
    place: str = ""  # where it is listed, for messages


class LabelledRows(Sequence[Row]):
    """The recordings of a labelled corpus in columns, in the order of its shards: a row is made when it is asked for.

    So a million recordings take what their texts take, and no object each.
    """

    def __init__(self, columns: pa.Table, number: int) -> None:
        self._columns, self._number = columns, number

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...

    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        number = range(len(self))[at]
        return self._row(self._columns.slice(number, 1).to_pylist()[0], number)

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for batch in self._columns.to_batches(BATCH_ROWS):
            for fields in batch.to_pylist():
                yield self._row(fields, number)
                number += 1

    def _row(self, fields: dict[str, Any], number: int) -> Row:
        text, part, speaker = fields["target"], fields["part"], fields["speaker"]
        phones = fields["phones"]
        content = [str(fields[name]) for name in Content._fields if name in fields]
        return Row(
            key=fields["key"],
            speaker="" if speaker == "unknown" else sys.intern(speaker),
            part=sys.intern(fields["split"] if part is None else part),
            text=fields["text"],
            phones=None if phones is None else tuple(Phone(*phone.values()) for phone in phones),
            target={} if text is None else json.loads(text),
            num_samples=fields["samples"],
            take=Take(self._number, number),
            content=":".join(content),
        )


@dataclass(frozen=True)
class LabelledCorpus:
    """A corpus and its shards, as a task reads them."""

    name: str
    corpus_dir: Path
    shards_dir: Path
    number: int  # of the shards folder among those of the evaluation
    has_content: bool = True  # False: nothing asks which recordings are copies, which takes most of the memory

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The recordings, in the order of the shards. They are kept until `forget` is called.

        Raises BadDataError (LAYOUT) for a recording that was cut or joined, since its target is that of the whole.
        """
        index = read_columns(self.shards_dir, ["key", "samples"])
        keys = index["key"].combine_chunks()
        at = pc.index_in(keys, _read_column(self.corpus_dir, "key"))
        if at.null_count:
            key = keys.filter(pc.is_null(at))[0].as_py()
            raise BadDataError(
                "LAYOUT",
                f"the utterance {key} is no whole recording of {self.name}; at {self.shards_dir}; evaluate with "
                "shards that cut and join nothing",
            )
        # Column by column: of a million recordings, all of them at once would be there twice.
        names = (*MANIFEST_COLUMNS, *(Content._fields if self.has_content else ()))
        columns = {"key": keys, "samples": index["samples"].combine_chunks()}
        columns |= {name: _read_column(self.corpus_dir, name).take(at) for name in names}
        del index, at
        targets = read_target_table(self.corpus_dir)
        at = pc.index_in(keys, targets["key"].combine_chunks())
        columns |= {name: _encode(targets[name], name).take(at) for name in ("part", "target")}
        return LabelledRows(pa.table(columns), self.number)

    def forget(self) -> None:
        """Drop the recordings; they are read again when they are asked for."""
        self.__dict__.pop("rows", None)
        pa.default_memory_pool().release_unused()


def _read_column(corpus_dir: Path, name: str) -> pa.Array:
    batches = stream_manifest(corpus_dir, [name])
    return _encode(pa.chunked_array([_encode(batch[name], name) for batch in batches]), name)


def _encode(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array:
    """A column in one piece, whose texts are numbers if there are few of them."""
    is_new = name in FEW_TEXTS and not pa.types.is_dictionary(column.type)
    found = column.dictionary_encode() if is_new else column
    return found.unify_dictionaries().combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def require(row: Row, name: str, corpus: str) -> JsonValue:
    """A field of the target of a recording. Raises BadDataError (TARGET_MISSING) if the corpus does not give it."""
    if name not in row.target:
        raise BadDataError(
            "TARGET_MISSING",
            f"the recording {row.key} has no {name}, found {', '.join(row.target) or 'no target at all'}; in the "
            f"corpus {corpus}; give the corpus a layout that says it",
        )
    return row.target[name]
