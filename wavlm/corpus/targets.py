"""`targets.parquet` and `trials.parquet`: what evaluations predict of the recordings of a corpus, and pairs of them.

Corpora of the role `evaluation` have them beside the manifest, if their layout knows any.

| `targets.parquet` | type | |
|---|---|---|
| key | string | of a recording of the manifest, each at most once, in the order of the manifest |
| part | string | the publisher's partition as it is written, such as `train`, `test`, `fold1`; empty: it has none |
| target | string or null | one JSON object: `wavlm.corpus.layouts.target`; null: the recording has a part alone |

| `trials.parquet` | type | |
|---|---|---|
| list | string | name of the list, such as `vox1-o`; rows of one list stand together, in its order |
| enrol, test | string | keys of recordings |
| is_target | bool | whether they go together: one voice, or a query that the recording holds |

Text and speakers are in the manifest. `targets.parquet` has a row for each recording that has a part or a target.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavlm.corpus.manifest import stream_manifest
from wavlm.errors import BadDataError
from wavlm.storage.parquet import write_parquet
from wavlm.storage.passing import refuse_passing
from wavlm.storage.seals import check_sealed

TARGETS, TRIALS = "targets.parquet", "trials.parquet"
FORMAT = {b"format": b"1"}
REFERENCES = ("sources", "clean")  # fields that name recordings of the corpus

TARGET_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("part", pa.string(), nullable=False),
        pa.field("target", pa.string()),
    ]
)
TRIAL_SCHEMA = pa.schema(
    [
        pa.field("list", pa.string(), nullable=False),
        pa.field("enrol", pa.string(), nullable=False),
        pa.field("test", pa.string(), nullable=False),
        pa.field("is_target", pa.bool_(), nullable=False),
    ]
)


class Target(NamedTuple):
    """What is known of one recording: its publisher's partition, and what a task has to predict."""

    part: str
    fields: Mapping[str, Any]  # empty: nothing


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of a corpus, in columns: an entry per recording that has any."""

    keys: tuple[str, ...]
    parts: tuple[str, ...]
    texts: tuple[str | None, ...]  # as JSON

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[str, Target]]:
        for key, part, text in zip(self.keys, self.parts, self.texts, strict=True):
            yield key, Target(part, {} if text is None else json.loads(text))

    @cached_property
    def by_key(self) -> Mapping[str, Target]:
        """Each target by the key of its recording."""
        return dict(iter(self))  # `keys` of this class are no method

    def part_of(self, part: str) -> tuple[str, ...]:
        """The keys of the recordings of one partition, in the order of the manifest."""
        return tuple(key for key, found in zip(self.keys, self.parts, strict=True) if found == part)

    def values(self, name: str) -> dict[str, Any]:
        """One field, such as `class`, by key, of the recordings that have it."""
        return {key: target.fields[name] for key, target in self.by_key.items() if name in target.fields}


@dataclass(frozen=True, eq=False)
class Trials:
    """The trials of a corpus, in columns: an entry per trial."""

    lists: tuple[str, ...]
    enrol: tuple[str, ...]
    test: tuple[str, ...]
    is_target: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.lists)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the lists, in order."""
        return tuple(dict.fromkeys(self.lists))

    def of(self, name: str) -> Trials:
        """The trials of one list; none if there is no such list."""
        at = [number for number, found in enumerate(self.lists) if found == name]
        lists, enrol, test = (tuple(column[number] for number in at) for column in (self.lists, self.enrol, self.test))
        return Trials(lists, enrol, test, self.is_target[np.array(at, np.int64)])


class Labelled(NamedTuple):
    """How much of a corpus is labelled."""

    with_target: int  # recordings
    trials: int


def write_labels(out: Path, listing: Iterable[pa.RecordBatch], trials: pa.Table) -> Labelled:
    """Write the targets and the trials of the recordings of a manifest; no file where there are none.

    `listing`: all recordings that the layout found, with the columns `TARGET_SCHEMA`.
    Raises BadDataError (TARGETS) for a target or a trial that names a recording that the manifest does not have.
    """
    keys = pa.array([key for batch in stream_manifest(out, ["key"]) for key in batch["key"].to_pylist()], pa.string())
    chosen = pa.Table.from_batches([_chosen(batch, keys) for batch in listing], TARGET_SCHEMA)
    _check_references(out, chosen, keys)
    for name in ("enrol", "test"):
        _check_known(out / TRIALS, pc.unique(trials[name]), keys)
    for path, table in ((out / TARGETS, chosen), (out / TRIALS, trials)):
        path.unlink(missing_ok=True)  # of an earlier attempt
        if len(table):
            write_parquet(path, table.replace_schema_metadata(FORMAT))
    return Labelled(len(chosen) - chosen["target"].null_count, len(trials))


def read_targets(corpus_dir: Path) -> Targets:
    """The targets of a corpus; none if its recordings have none.

    Raises BadDataError: TARGETS if the file is damaged or has another form, CHECKSUM if it is not the one that was
    sealed, or is gone.
    """
    table = read_target_table(corpus_dir)
    return Targets(*(tuple(table[name].to_pylist()) for name in TARGET_SCHEMA.names))


def read_target_table(corpus_dir: Path) -> pa.Table:
    """The same as columns: for what must not hold a million targets as objects."""
    return _read(corpus_dir / TARGETS, TARGET_SCHEMA)


def read_trials(corpus_dir: Path) -> Trials:
    """The trials of a corpus; none if it has no lists. Raises as `read_targets`."""
    table = _read(corpus_dir / TRIALS, TRIAL_SCHEMA)
    lists, enrol, test = (tuple(table[name].to_pylist()) for name in TRIAL_SCHEMA.names[:3])
    return Trials(lists, enrol, test, table["is_target"].to_numpy())


def _chosen(batch: pa.RecordBatch, keys: pa.Array) -> pa.RecordBatch:
    """The rows of recordings that the manifest has, and of which anything is known."""
    rows = batch.select(TARGET_SCHEMA.names)
    has_any = pc.or_(pc.is_valid(rows["target"]), pc.not_equal(rows["part"], ""))
    return rows.filter(pc.and_(has_any, pc.is_in(rows["key"], keys)))


def _check_references(out: Path, targets: pa.Table, keys: pa.Array) -> None:
    named: dict[str, None] = {}
    for text in targets["target"].to_pylist():
        if text is not None and any(f'"{name}":' in text for name in REFERENCES):  # canonical: no space before it
            fields = json.loads(text)
            for name in REFERENCES:
                value = fields.get(name, ())
                named.update(dict.fromkeys([value] if isinstance(value, str) else value))
    _check_known(out / TARGETS, pa.array(list(named), pa.string()), keys)


def _check_known(path: Path, named: pa.Array, keys: pa.Array) -> None:
    unknown = named.filter(pc.invert(pc.is_in(named, keys)))
    if len(unknown):
        raise BadDataError(
            "TARGETS",
            f"{len(unknown)} recordings are named that the corpus does not have, such as {unknown[0]}; for {path}; "
            "fetch what is missing, or narrow the layout in the corpus spec",
        )


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    check_sealed(path)
    if not path.exists():
        return schema.empty_table()
    with _opened(path) as file:
        found = file.schema_arrow
        if not found.equals(schema) or (found.metadata or {}).get(b"format") != FORMAT[b"format"]:
            raise BadDataError(
                "TARGETS",
                f"found columns {found.names} of format {(found.metadata or {}).get(b'format')}, expected "
                f"{schema.names} of format {FORMAT[b'format']!r}; at {path}; make the corpus again",
            )
        return file.read(use_threads=False)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            yield file
    except (OSError, pa.ArrowException, ValueError) as error:
        refuse_passing(error, path)
        raise BadDataError("TARGETS", f"cannot be read: {error}; at {path}; make the corpus again") from error
