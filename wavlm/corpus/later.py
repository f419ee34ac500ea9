"""A later generation of a corpus: from what the layout finds now, and the history, to its manifest and its history.

As with the first generation, a few dozen bytes per recording are in memory, and what is new or changed, as one table.
Only files that came or were changed are opened, in parts. Everything else is read some rows at a time, and copied.

Legend: V versions of the history before, P recordings that are there now, O others: those that are not as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavlm.corpus.growth.follow import COLUMNS, Others, Seen, check_splits, split_new, warn_of_speakers
from wavlm.corpus.growth.history import History, end_versions, make_versions, open_history
from wavlm.corpus.growth.match import (
    NOBODY,
    ROW_DIGITS,
    Integers,
    Mask,
    Match,
    Presence,
    Present,
    Versions,
    leave_for_content,
    match,
    recall,
)
from wavlm.corpus.growth.splits import NOWHERE, VALID, Codes, name_splits
from wavlm.corpus.listing import FILES_PER_PART, SCHEMA, RecordingList, recordings_of
from wavlm.corpus.manifest import MANIFEST, open_manifest, place_texts
from wavlm.corpus.manifest import SCHEMA as MANIFEST_SCHEMA
from wavlm.corpus.measure import PARTS, FilesPart, Roots, measure_part, part_path, read_parts
from wavlm.corpus.sums import Sums
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress
from wavlm.specs import CorpusSpec
from wavlm.storage.arrow import from_mask, from_numbers, to_numbers
from wavlm.storage.batches import write_batches
from wavlm.storage.texts import Among, hash_texts

NEW = ".new.partial"  # the recordings whose files are opened
MEASURED = ("size_bytes", "sample_rate_hz", "num_samples")  # by opening a file; as a history has them
OBJECTS_TOGETHER = 1_000  # recordings that are objects at a time
_DTYPES = {"size_bytes": np.int64, "sample_rate_hz": np.int32, "num_samples": np.int64, "generation": np.int32}


@dataclass(frozen=True, eq=False)
class Later:
    """A generation: what is known of each recording that is there now, (P,), and what became of the versions before."""

    splits: Codes  # (P,) NOWHERE: the generation does not have it
    numbers: dict[str, npt.NDArray[np.integer]]  # (P,) each: `MEASURED` and the generation that it came with
    came: Mask  # (P,) a version of it comes with this generation
    rows: npt.NDArray[np.uint64]  # the digest of each of these
    untils: npt.NDArray[np.int32]  # (V,) 0: still there
    is_kept: Mask  # (V,) whether the history of this generation has it


@dataclass(frozen=True, eq=False)
class Measuring:
    """How files that came or were changed are opened."""

    roots: Roots
    out: Path
    workers: int
    progress: Progress


def recall_generation(
    spec: CorpusSpec, history: History, number: int, listing: RecordingList, *, is_changed: bool
) -> Later:
    """A generation that the list has, as it was. Raises BadDataError as `wavlm.corpus.growth.match.recall`."""
    present, versions = _look_at(listing), Versions.of(history)
    found = recall(history, versions, number, present, spec, is_changed=is_changed)
    present, versions = present.without_keys(), versions.without_keys()
    splits = np.where(found.is_known, versions.splits[found.partner], NOWHERE).astype(np.int8)
    untils = np.where(versions.until > number, 0, versions.until).astype(np.int32)
    numbers = _read_numbers(history, found.partner)
    nobody = np.zeros(len(splits), np.bool_)
    return Later(splits, numbers, nobody, present.rows[:0], untils, versions.since <= number)


def follow_generation(
    spec: CorpusSpec, history: History, number: int, listing: RecordingList, measuring: Measuring
) -> Later:
    """Generation `number`, from the one before and what the layout finds now.

    Raises BadDataError (VALID_EMPTY, VALID_TOO_LARGE) if nothing is left to validate on, or to train on, and what
    `measure_part` raises.
    """
    present, versions = _look_at(listing), Versions.of(history)
    found = match(versions, number - 1, present, history.rule)
    present, versions = present.without_keys(), versions.without_keys()  # half of all that is in memory
    others = Others.of(_read_rows(listing, ~found.is_known), np.flatnonzero(~found.is_known))
    seen = Seen.of(history, others, found.partner[others.numbers])
    found = leave_for_content(found, versions.splits, {
        split: _spread(mask, others, len(present.rows)) for split, mask in seen.copies.items()
    })  # fmt: skip
    is_new = found.partner[others.numbers] == NOBODY
    new = others.choose(is_new)
    splits = versions.splits[found.partner]
    splits[new.numbers] = split_new(spec, history, new, seen.choose(is_new), _find_named(listing, found, new))
    has_new_audio = np.zeros(len(splits), np.bool_)
    has_new_audio[others.numbers] = is_new | (seen.before != others.contents)
    numbers = _read_numbers(history, found.partner)
    _measure(listing, has_new_audio, numbers, measuring)
    numbers["generation"][new.numbers] = number
    check_splits(spec, versions.splits[versions.are_at(number - 1)], splits)
    warn_of_speakers(spec, history, others.choose(~is_new), splits[others.numbers[~is_new]])
    untils = versions.until.copy()
    is_left = versions.are_at(number - 1)
    is_left[found.partner[found.is_known]] = False
    untils[is_left] = number
    came = ~found.is_known
    return Later(splits, numbers, came, present.rows[came], untils, np.ones(len(untils), np.bool_))


def write_later(
    spec: CorpusSpec, history: History, number: int, later: Later, listing: RecordingList, out: Path
) -> Sums:
    """Write manifest and history of a generation, some rows at a time. Returns what it has."""
    is_used = (later.splits >= 0) & (later.splits <= VALID)
    sums = Sums()
    with open_manifest(out / MANIFEST, int(is_used.sum()), spec.name, history.rule, history.below) as add:
        for batch, here in _with_places(listing):
            rows = _add_numbers(batch, later, here)
            sums.add(rows.filter(from_mask(later.splits[here] != NOWHERE)))
            add(rows.select(MANIFEST_SCHEMA.names).cast(MANIFEST_SCHEMA).filter(from_mask(is_used[here])))
    with open_history(out, history.rule, history.below) as add:
        for table in _end(history, later):
            add(table)
        at = 0
        for batch, here in _with_places(listing):
            came = _add_numbers(batch, later, here).filter(from_mask(later.came[here]))
            add(_begin(came, later.rows[at : at + len(came)], number))
            at += len(came)
    return sums


def _look_at(listing: RecordingList) -> Presence:
    """The recordings of a listing as numbers."""
    slices = (
        batch.slice(start, OBJECTS_TOGETHER)
        for batch in listing.stream()
        for start in range(0, len(batch), OBJECTS_TOGETHER)
    )
    return Presence.of((batch.select(["key", "given"]), _digest_rows(batch)) for batch in slices)


def _digest_rows(batch: pa.RecordBatch) -> list[str]:
    items = zip(recordings_of(batch), batch["sha256"].to_pylist(), strict=True)
    return [Present(recording, sha256).row for recording, sha256 in items]


def _with_places(listing: RecordingList) -> Iterator[tuple[pa.RecordBatch, slice]]:
    """The recordings, and where they are in the order of the layout."""
    at = 0
    for batch in listing.stream():
        yield batch, slice(at, at + len(batch))
        at += len(batch)


def _read_rows(listing: RecordingList, mask: Mask) -> pa.Table:
    """The columns that decide a split, of the recordings of a mask (P,)."""
    schema = pa.schema([SCHEMA.field(name) for name in COLUMNS])
    some = (batch.select(list(COLUMNS)).filter(from_mask(mask[here])) for batch, here in _with_places(listing))
    return pa.Table.from_batches((pa.record_batch(batch.columns, schema=schema) for batch in some), schema)


def _spread(mask: Mask, others: Others, count: int) -> Mask:
    """A mask of all recordings (P,) from one of others (O,)."""
    whole = np.zeros(count, np.bool_)
    whole[others.numbers] = mask
    return whole


def _find_named(listing: RecordingList, found: Match, new: Others) -> Mask:
    """Which new recordings have path and region of one that is not new."""
    places = hash_texts(place_texts(new.table))
    among, met = Among(places), [np.zeros(0, np.uint64)]
    for batch, here in _with_places(listing):
        hashes = hash_texts(place_texts(batch))[found.partner[here] != NOBODY]
        met.append(hashes[among.find(hashes)])
    return Among(np.concatenate(met)).find(places)


def _read_numbers(history: History, partner: Integers) -> dict[str, npt.NDArray[np.integer]]:
    """What a history says of the version whose place each recording has, (P,)."""
    found: dict[str, npt.NDArray[np.integer]] = {name: np.zeros(len(partner), kind) for name, kind in _DTYPES.items()}
    order, at = np.argsort(partner, kind="stable"), 0
    ordered = partner[order]
    for batch in history.stream(tuple(_DTYPES)):
        low, high = np.searchsorted(ordered, (at, at + len(batch)))
        for name, values in found.items():
            values[order[low:high]] = to_numbers(batch[name])[ordered[low:high] - at]
        at += len(batch)
    return found


def _measure(
    listing: RecordingList, mask: Mask, numbers: dict[str, npt.NDArray[np.integer]], measuring: Measuring
) -> None:
    """Open the files of the recordings of a mask (P,), and note what is measured."""
    if not mask.any():
        return
    out = measuring.out
    chosen = (batch.filter(from_mask(mask[here])) for batch, here in _with_places(listing))
    write_batches(out / NEW, SCHEMA, _gather(chosen))
    count = RecordingList(out / NEW).num_parts
    (out / PARTS).mkdir(exist_ok=True)
    parts = [FilesPart(out / NEW, at, part_path(out, at)) for at in range(count)]
    run_parts(parts, partial(measure_part, roots=measuring.roots), min(measuring.workers, count), measuring.progress)
    at, places = 0, np.flatnonzero(mask)
    for table in read_parts(out, count, MEASURED):
        here = places[at : at + len(table)]
        at += len(table)
        for name in MEASURED:
            numbers[name][here] = to_numbers(table[name].combine_chunks())
    (out / NEW).unlink()


def _gather(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `FILES_PER_PART` or more, and a smaller one."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= FILES_PER_PART:
            yield _join_batches(waiting)
            waiting = []
    if any(map(len, waiting)):
        yield _join_batches(waiting)


def _join_batches(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _add_numbers(batch: pa.RecordBatch, later: Later, here: slice) -> pa.Table:
    """Some recordings with the columns of the manifest and of a history that the listing does not have."""
    made = {
        **{name: from_numbers(values[here]) for name, values in later.numbers.items()},
        "split": name_splits(np.maximum(later.splits[here], 0)),
    }
    names = [name for name in batch.schema.names if name not in made]
    return pa.table([*(batch[name] for name in names), *made.values()], [*names, *made])


def _begin(came: pa.Table, rows: npt.NDArray[np.uint64], number: int) -> pa.Table:
    """The versions that come with a generation. rows: the digest of each."""
    digests = [f"{row:0{ROW_DIGITS}x}" for row in rows.tolist()]
    since = from_numbers(np.full(len(came), number, np.int32))
    return make_versions(came, {"row": pa.array(digests, pa.string()), "since": since})


def _end(history: History, later: Later) -> Iterator[pa.Table]:
    """The versions before, with their ends."""
    at = 0
    for batch in history.stream():
        here = slice(at, at + len(batch))
        at += len(batch)
        ends = later.untils[here]
        untils = pa.array(ends, pa.int32(), mask=ends == 0)
        yield end_versions(batch, untils).filter(from_mask(later.is_kept[here]))
