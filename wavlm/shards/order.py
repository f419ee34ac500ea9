"""The order of the recordings of a corpus in its tars, and where each tar ends: from columns, 50 bytes per recording.

Recordings are sorted by generation, split, speaker and manifest order, and fill one tar after the other. The regions of
a file stand together, in the order of speaker and time, so that a part decodes the file once. They are in several parts
only if they do not fit into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.layouts import path_from_text
from wavlm.storage.texts import Hashes, find_repeated, hash_texts

Rows = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.float64]

COLUMNS = (
    "key",
    "path",
    "start_s",
    "end_s",
    "speaker",
    "split",
    "size_bytes",
    "sample_rate_hz",
    "num_samples",
    "generation",
)
FLAC_BYTES_PER_SECOND = 20_000  # of 16 kHz mono speech; measured: 18,900

# Bytes per second of audio, for recordings whose length the manifest does not know. These are estimates:
# an error only makes a tar larger or smaller.
BYTES_PER_SECOND = {".wav": 32_000, ".flac": 20_000, ".g722": 8_000}
LOSSY_BYTES_PER_SECOND = 12_000
MAX_ESTIMATE_SECONDS = 3600.0  # for a region whose times nobody has checked
STEP_FILES = 1 << 16  # that are looked at together


@dataclass(frozen=True, eq=False)
class RecordingPlaces:
    """What decides where recordings stand in tars. Each array has an entry per recording, in manifest order."""

    keys: Hashes
    files: Hashes  # of the paths
    generations: npt.NDArray[np.int32]
    splits: npt.NDArray[np.int16]  # numbers in `split_names`
    speakers: npt.NDArray[np.int32]  # their ranks by name
    starts: Numbers  # of regions in their file, in seconds
    seconds: Numbers  # of audio, estimated where the manifest does not know
    split_names: tuple[str, ...]

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch], most: int) -> RecordingPlaces:
        """The places of the rows of a manifest, or of a history, some of whose columns are `COLUMNS`.

        most: rows that there are at most, for which room is made.
        """
        whole = {name: np.zeros(most, kind) for name, kind in _KINDS.items()}  # zeros take no memory until written
        splits, speakers = _Names(), _Names()
        at = 0
        for batch in batches:
            here = slice(at, at := at + len(batch))
            whole["keys"][here] = hash_texts(batch["key"])
            whole["files"][here] = hash_texts(batch["path"])
            whole["generations"][here] = batch["generation"].to_numpy()
            whole["seconds"][here] = _estimate_seconds(batch)
            whole["splits"][here] = splits.number(batch["split"])
            whole["speakers"][here] = speakers.number(batch["speaker"])
            if batch["start_s"].null_count < len(batch):
                whole["starts"][here] = pc.fill_null(batch["start_s"], 0.0).to_numpy()
        whole = {name: column[:at] for name, column in whole.items()}
        for name, names in (("splits", splits), ("speakers", speakers)):
            whole[name] = names.ranks()[whole[name]]
        return cls(**whole, split_names=tuple(sorted(splits.numbers)))

    def __len__(self) -> int:
        return len(self.keys)


_KINDS: dict[str, type[np.generic]] = {
    "keys": np.uint64,
    "files": np.uint64,
    "generations": np.int32,
    "splits": np.int16,
    "speakers": np.int32,
    "starts": np.float64,
    "seconds": np.float64,
}


class _Names:
    """Names, numbered as they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, column: pa.StringArray) -> npt.NDArray[np.int32]:
        coded = column.dictionary_encode()
        names = coded.dictionary.to_pylist()
        numbers = np.array([self.numbers.setdefault(name, len(self.numbers)) for name in names], np.int32)
        found: npt.NDArray[np.int32] = numbers[coded.indices.to_numpy()]
        return found

    def ranks(self) -> npt.NDArray[np.int32]:
        """The place of each name, by its number, in the order of the names."""
        ranks = np.empty(len(self.numbers), np.int32)
        for rank, name in enumerate(sorted(self.numbers)):
            ranks[self.numbers[name]] = rank
        return ranks


def fill_tars(places: RecordingPlaces, shard_megabytes: float) -> Iterator[tuple[str, Rows]]:
    """The stem of each tar, and the places in it, in their order.

    A tar is full when its estimated FLAC reaches `shard_megabytes`.
    """
    for generation in np.unique(places.generations).tolist():
        of_generation = places.generations == generation
        for split, name in enumerate(places.split_names):
            chosen = np.flatnonzero(of_generation & (places.splits == split)).astype(np.int32)
            prefix = name if generation == 1 else f"{name}-g{generation:03d}"
            groups = _fill(places, _order_by_file(places, chosen), shard_megabytes * 1e6)
            for number, group in enumerate(groups):
                yield f"{prefix}-{number:06d}", group


def _order_by_file(places: RecordingPlaces, chosen: Rows) -> Rows:
    """The chosen places: files by their first speaker, then as they come; in a file by speaker and start."""
    speakers = places.speakers[chosen]
    if not len(find_repeated(places.files[chosen])):
        return chosen[np.argsort(speakers, kind="stable")]
    _, first, file = np.unique(places.files[chosen], return_index=True, return_inverse=True)
    first_speaker = np.full(len(first), np.iinfo(np.int32).max, np.int32)
    np.minimum.at(first_speaker, file, speakers)
    order = np.lexsort((places.starts[chosen], speakers, first[file], first_speaker[file]))
    return chosen[order]


def _fill(places: RecordingPlaces, order: Rows, limit_bytes: float) -> Iterator[Rows]:
    """Consecutive places that fill a tar each. Sums are made one by one: their rounding decides where a tar ends."""
    start = at = 0
    size_bytes = 0.0
    for sizes in _sizes_of_files(places, order):
        is_new = size_bytes + sum(sizes) > limit_bytes
        for estimate in sizes:
            if at > start and (is_new or size_bytes + estimate > limit_bytes):
                yield order[start:at]
                start, size_bytes = at, 0.0
            at += 1
            size_bytes += estimate
            is_new = False
    if at > start:
        yield order[start:at]


def _sizes_of_files(places: RecordingPlaces, order: Rows) -> Iterator[list[float]]:
    """The estimated bytes of the recordings of each file."""
    files = places.files[order]
    edges = np.append(np.flatnonzero(files[1:] != files[:-1]) + 1, len(files)) if len(files) else np.zeros(0, np.int64)
    start = 0
    for step in range(0, len(edges), STEP_FILES):
        ends = edges[step : step + STEP_FILES]
        sizes = (places.seconds[order[start : ends[-1]]] * FLAC_BYTES_PER_SECOND).tolist()
        base = start
        for end in ends.tolist():
            yield sizes[start - base : end - base]
            start = end


def _estimate_seconds(batch: pa.RecordBatch) -> Numbers:
    samples, rates = batch["num_samples"].to_numpy(), batch["sample_rate_hz"].to_numpy()
    seconds = np.maximum(samples, 0) / np.maximum(rates, 1)
    unknown = np.flatnonzero(samples < 0)
    if len(unknown):
        rows = batch.select(["path", "start_s", "end_s", "size_bytes"]).take(pa.array(unknown)).to_pylist()
        seconds[unknown] = [_guess_seconds(**row) for row in rows]
    found: Numbers = seconds
    return found


def _guess_seconds(path: str, start_s: float | None, end_s: float | None, size_bytes: int) -> float:
    if start_s is not None and end_s is not None:
        return min(max(0.0, end_s - start_s), MAX_ESTIMATE_SECONDS)
    suffix = Path(path_from_text(path)).suffix.lower()
    return size_bytes / BYTES_PER_SECOND.get(suffix, LOSSY_BYTES_PER_SECOND)
