"""The books compare the parts with the manifest: nothing may be lost, doubled, or made up."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from wavlm.corpus.manifest import SCHEMA
from wavlm.errors import BadDataError
from wavlm.shards.account import Account
from wavlm.shards.books import Books, ManifestBooks
from wavlm.shards.record import PackedUtterance, PartRows, PieceOrigin, describe_part, to_table
from wavlm.shards.rejects import Reject

KEYS = ["a", "b", "c", "d", "e"]


def manifest_of(keys: list[str]) -> ManifestBooks:
    rows = [
        {
            "key": key, "path": f"{key}.flac", "speaker": "x", "split": "valid" if key in "bc" else "train",
            "size_bytes": 1, "sha256": "same" if key in "acd" else key, "sample_rate_hz": 16000, "num_samples": 16000,
            "generation": 1,
        }
        for key in keys
    ]  # fmt: skip
    return ManifestBooks(pa.Table.from_pylist(rows, SCHEMA).to_batches(max_chunksize=2), len(rows) + 1)


def packed(key: str, *sources: str, samples: int = 100) -> PackedUtterance:
    origin = PieceOrigin(1, 0, 0, samples)
    return PackedUtterance(key, 0, 10, samples, 0, "x", "train", "0" * 64, sources or (key,), "", (origin,))


def check(utterances: list[PackedUtterance], rejects: list[Reject], keys: list[str], samples: int) -> None:
    books = Books()
    for some in (utterances[:2], utterances[2:]):
        lost = tuple(rejects) if some is not utterances[:2] and some == utterances[2:] else ()
        rows = PartRows(to_table(some), lost, ())
        books.add(describe_part("train-000000", some, lost), rows)
    read: Callable[[], list[pa.ChunkedArray]] = lambda: [to_table(utterances)["key"]]  # noqa: E731
    books.check(manifest_of(keys), Account(samples=samples), read)


GOOD = [packed("a"), packed("b"), packed("c-j2", "c", "d")]
REJECT = [Reject("e", "AUDIO_SILENT", "", samples=7)]


def test_all_that_came_in_is_used_or_refused() -> None:
    check(GOOD, REJECT, KEYS, 307)


@pytest.mark.parametrize(
    ("utterances", "rejects", "keys", "samples"),
    [
        (GOOD, REJECT, KEYS, 306),  # a sample too many
        (GOOD[:2], REJECT, KEYS, 207),  # two recordings are nowhere
        (GOOD, [], KEYS, 300),
        (GOOD, REJECT, KEYS[:-1], 307),  # one that the manifest does not have
        (GOOD, [*REJECT, Reject("a", "AUDIO_SILENT", "")], KEYS, 307),  # used and refused
    ],
)
def test_what_does_not_add_up_is_refused(
    utterances: list[PackedUtterance], rejects: list[Reject], keys: list[str], samples: int
) -> None:
    with pytest.raises(RuntimeError, match="the numbers do not add up"):
        check(utterances, rejects, keys, samples)


def test_a_key_of_two_utterances_is_named() -> None:
    with pytest.raises(BadDataError, match="DUP_KEY: b is the key of a recording, and of a channel"):
        check([*GOOD[:2], packed("b", "c", "d")], REJECT, KEYS, 307)


def test_copies_are_counted_within_and_across_splits() -> None:
    manifest = manifest_of(KEYS)
    assert (len(manifest), manifest.num_repeated, manifest.num_in_both_splits) == (5, 2, 1)
