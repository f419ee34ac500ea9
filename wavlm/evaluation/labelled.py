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

MANIFEST_COLUMNS = ("key", "speaker", "split", "text", "phones", *Content._fields)


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
        content = Content(*(fields[name] for name in Content._fields))
        return Row(
            key=fields["key"],
            speaker="" if speaker == "unknown" else sys.intern(speaker),
            part=sys.intern(fields["split"] if part is None else part),
            text=fields["text"],
            phones=None if phones is None else tuple(Phone(*phone.values()) for phone in phones),
            target={} if text is None else json.loads(text),
            num_samples=fields["samples"],
            take=Take(self._number, number),
            content=":".join(map(str, content)),
        )


@dataclass(frozen=True)
class LabelledCorpus:
    """A corpus and its shards, as a task reads them."""

    name: str
    corpus_dir: Path
    shards_dir: Path
    number: int  # of the shards folder among those of the evaluation

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The recordings, in the order of the shards.

        Raises BadDataError (LAYOUT) for a recording that was cut or joined, since its target is that of the whole.
        """
        index = read_columns(self.shards_dir, ["key", "samples"])
        keys = index["key"].combine_chunks()
        manifest = pa.Table.from_batches(stream_manifest(self.corpus_dir, MANIFEST_COLUMNS))
        at = pc.index_in(keys, manifest["key"].combine_chunks())
        if at.null_count:
            key = keys.filter(pc.is_null(at))[0].as_py()
            raise BadDataError(
                "LAYOUT",
                f"the utterance {key} is no whole recording of {self.name}; at {self.shards_dir}; evaluate with "
                "shards that cut and join nothing",
            )
        targets = read_target_table(self.corpus_dir)
        with_target = pc.index_in(keys, targets["key"].combine_chunks())
        found = manifest.take(at)
        for name in ("part", "target"):
            found = found.append_column(name, targets[name].combine_chunks().take(with_target))
        return LabelledRows(found.append_column("samples", index["samples"]), self.number)


def require(row: Row, name: str, corpus: str) -> JsonValue:
    """A field of the target of a recording. Raises BadDataError (TARGET_MISSING) if the corpus does not give it."""
    if name not in row.target:
        raise BadDataError(
            "TARGET_MISSING",
            f"the recording {row.key} has no {name}, found {', '.join(row.target) or 'no target at all'}; in the "
            f"corpus {corpus}; give the corpus a layout that says it",
        )
    return row.target[name]
