"""The books of a shards folder: its parts are compared with the manifest, in columns of 40 bytes per recording.

Every recording is either in utterances or in rejects, and every sample as well. The ledgers of the parts have counted
too. This compares them with what is listed: the manifest, the utterances and the rejects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.corpus.manifest import content_texts
from wavlm.errors import BadDataError
from wavlm.shards.account import EXCLUDED, Account
from wavlm.shards.coverage import Coverage, Covered, measure_coverage
from wavlm.shards.languages import LanguageBooks
from wavlm.shards.record import PartRecord, PartRows
from wavlm.shards.waveform import Channels, name_channels
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.texts import Among, Column, Hashes, distinct, find_repeats, hash_texts

if TYPE_CHECKING:
    from wavlm.shards.facts import LanguageFacts

COLUMNS = ("key", "path", "start_s", "end_s", "channel", "language", "split", "sha256")
NO_SPEAKER = pa.array(["", UNKNOWN_SPEAKER])


class Books:
    """What the parts of a folder list, on its way into sums."""

    def __init__(self, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.valid_samples = 0
        self._samples = self._lost = 0
        self._keys: list[Hashes] = []
        self._sources: list[Hashes] = []
        self._refused: list[Hashes] = []
        self._excluded: list[Hashes] = []
        self._speakers: list[Hashes] = []
        self._covered: list[Covered] = []
        self._languages = LanguageBooks(sample_rate_hz)

    def add(self, record: PartRecord, rows: PartRows) -> None:
        """Enter a part."""
        table, refused = rows.utterances, [item for item in rows.rejects if item.is_recording]
        self._samples += pc.sum(pc.subtract(table["samples"], table["gap_samples"])).as_py() or 0
        self._lost += record.lost_samples
        self.valid_samples += pc.sum(table["samples"].filter(pc.equal(table["split"], "valid"))).as_py() or 0
        self._keys.append(hash_texts(table["key"]))
        self._sources.append(distinct(hash_texts(pc.list_flatten(table["sources"]))))
        known = table["speaker"].filter(pc.invert(pc.is_in(table["speaker"], value_set=NO_SPEAKER)))
        self._speakers.append(hash_texts(pc.unique(known)))
        self._refused.append(_hash_keys(item.key for item in refused))
        self._excluded.append(_hash_keys(item.key for item in refused if item.reason in EXCLUDED))
        self._covered += rows.covered
        self._languages.add(table)

    @property
    def num_speakers(self) -> int:
        """Speakers of the utterances, without those whose name is not known."""
        return len(_unite(self._speakers))

    def check(self, manifest: ManifestBooks, account: Account, read_keys: Callable[[], Iterable[Column]]) -> None:
        """Compare with the manifest. `read_keys`: those of all utterances, some at a time.

        Raises RuntimeError if the numbers do not add up, and BadDataError (DUP_KEY) for a key of two utterances.
        """
        used, refused = _unite(self._sources), _join(self._refused)
        self._sources.clear()  # a million recordings are 8 MB per array
        here = np.concatenate([used, refused])
        num_used, num_refused = len(used), len(refused)
        del used, refused
        here.sort()
        if not np.array_equal(here, np.sort(manifest.keys)) or self._samples + self._lost != account.samples:
            raise RuntimeError(
                f"{len(manifest.keys)} recordings of the manifest, {num_used} in utterances, {num_refused} rejected; "
                f"{account.samples} samples decoded, {self._samples} in utterances, {self._lost} rejected: "
                "the numbers do not add up"
            )
        del here
        keys = _join(self._keys)
        self._keys.clear()
        if twice := find_repeats(keys, read_keys):
            raise BadDataError(
                "DUP_KEY",
                f"{twice[0]} is the key of a recording, and of a channel, a piece or a join of another; in the "
                "manifest; rename the file",
            )

    def count_languages(self, manifest: ManifestBooks) -> dict[str, LanguageFacts]:
        """The account of each language; none if no language is known."""
        return self._languages.close(manifest.languages, manifest.keys, _join(self._refused), _join(self._excluded))

    def measure_coverage(self, read: Callable[[], Iterable[pa.RecordBatch]], channels: Channels) -> Coverage:
        """What of the files with regions is in none, or in several. A row of a whole file is a region of it, too."""
        return measure_coverage([*self._covered, *self._wholes(read, channels)])

    def _wholes(self, read: Callable[[], Iterable[pa.RecordBatch]], channels: Channels) -> Iterator[Covered]:
        files = {item.path: item for item in self._covered}
        if not files:
            return
        paths = pa.array(list(files))
        for batch in read():
            is_whole = pc.and_(pc.is_null(batch["start_s"]), pc.is_null(batch["end_s"]))
            chosen = pc.and_(pc.and_(is_whole, pc.is_null(batch["channel"])), pc.is_in(batch["path"], paths))
            for path in batch["path"].filter(chosen).to_pylist():
                lanes = name_channels(channels, files[path].num_channels)
                yield replace(files[path], spans=tuple((lane, 0, files[path].samples) for lane in lanes))


class ManifestBooks:
    """What the manifest of a corpus lists: `keys` and `languages` (rows,), and how often contents are repeated.

    `num_repeated`: recordings whose bytes and region came before. `num_in_both_splits`: contents in train and valid.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], most: int) -> None:
        """most: rows that there are at most, for which room is made."""
        keys, contents = np.zeros(most, np.uint64), np.zeros(most, np.uint64)
        is_valid = np.zeros(most, np.bool_)
        languages: list[pa.DictionaryArray] = []
        at = 0
        for batch in batches:
            here = slice(at, at := at + len(batch))
            keys[here] = hash_texts(batch["key"])
            contents[here] = hash_texts(content_texts(batch))
            is_valid[here] = pc.equal(batch["split"], "valid").to_numpy(zero_copy_only=False)
            languages.append(batch["language"].dictionary_encode())
        self.keys = keys[:at]
        # Counted here, so that the contents are in memory no longer when the parts are read.
        self.num_repeated, self.num_in_both_splits = _count_copies(contents[:at], is_valid[:at])
        self.languages = pa.chunked_array(languages, pa.dictionary(pa.int32(), pa.string())).unify_dictionaries()

    def __len__(self) -> int:
        return len(self.keys)


def _count_copies(contents: Hashes, is_valid: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Recordings whose bytes and region came before, and contents that are in the train and in the valid split."""
    train, valid = distinct(contents[~is_valid]), distinct(contents[is_valid])
    in_both = int(Among(train).find(valid).sum())
    return len(contents) - (len(train) + len(valid) - in_both), in_both


def add_counts(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    """The sum of some counts, by name."""
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return total


def _hash_keys(keys: Iterable[str]) -> Hashes:
    return hash_texts(pa.array(list(keys), pa.string()))


def _join(arrays: Iterable[Hashes]) -> Hashes:
    return np.concatenate([np.zeros(0, np.uint64), *arrays])


def _unite(arrays: Iterable[Hashes]) -> Hashes:
    return distinct(_join(arrays))
