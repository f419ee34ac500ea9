"""Pool of whole recordings that are drawn at random: noise to mix in, or room impulse responses (RIRs).

What is known of a recording is in columns, 55 bytes and its key, which all ranks of a machine share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from wavlm.errors import BadDataError
from wavlm.shards import Reader, listing_path, stream_columns
from wavlm.shards.index import index_path
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.arrow import bytes_of_texts, ends_of_texts, find_text, from_mask, to_numbers
from wavlm.storage.columns import ColumnWriter, Texts, open_columns
from wavlm.storage.seals import sha256_as_sealed

Waveform = npt.NDArray[np.float32]
Split = Literal["train", "valid"]

FORMAT = 1
# dtype of each column
COLUMNS = {
    "folder": "<u2",  # its number
    "shard": "<u4",  # its number in `shards`
    "offset": "<u8",  # of the FLAC in the shard
    "size": "<u4",  # bytes of the FLAC
    "sha256": "|u1",  # of the FLAC, 32 bytes
    "key_ends": "<u8",
    "key_text": "|u1",
}
READ = ("key", "shard", "offset", "size", "sha256", "split")
SHA256_BYTES = 32


class AudioPool:
    """The recordings of one split of some shards folders; of a folder without that split, all its recordings.

    cache: where the columns are kept, for all processes of a machine; None: nowhere. check: as
    `wavlm.storage.columns.open_columns`. sample_rate_hz: of what they are added to; recordings of another are refused.
    Raises BadDataError if there is no recording at all.
    """

    def __init__(
        self,
        shards_dirs: Sequence[Path],
        split: Split,
        cache: Path | None = None,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        *,
        check: bool = True,
    ) -> None:
        self._readers = [Reader(folder, sample_rate_hz=sample_rate_hz) for folder in shards_dirs]
        name, build = f"pool-{split}-{_name(shards_dirs, split)}", partial(_build, shards_dirs, split)
        if cache is None:
            with TemporaryDirectory(prefix="wavlm-pool-") as place:  # what is mapped stays, without a name
                self._columns = open_columns(Path(place) / name, build)
        else:
            self._columns = open_columns(cache / name, build, check=check)
        self._keys = Texts(self._columns["key_text"], self._columns["key_ends"])
        if not len(self):
            where = ", ".join(map(str, shards_dirs)) or "no folder"
            raise BadDataError("CLIPS_EMPTY", f"found no recording to draw from; in {where}; list another corpus")

    def __len__(self) -> int:
        return len(self._columns["shard"])

    def draw(self, number: float) -> tuple[str, Waveform]:
        """Key and whole waveform (N,) of the recording that a uniform number in [0, 1) selects."""
        entry = int(number * len(self))
        folder, shard, offset, size = (
            int(self._columns[name][entry]) for name in ("folder", "shard", "offset", "size")
        )
        sha256 = self._columns["sha256"][SHA256_BYTES * entry : SHA256_BYTES * (entry + 1)].tobytes().hex()
        key, name = self._keys[entry], str(self._columns.about["shards"][shard])
        return key, self._readers[folder].read_verified(key, (name, offset, size), sha256)


def _name(shards_dirs: Sequence[Path], split: Split) -> str:
    digest = hashlib.sha256(f"format {FORMAT} {split}".encode())
    for folder in shards_dirs:
        for path in (listing_path(folder), index_path(folder)):
            digest.update(f" {sha256_as_sealed(path) if path.exists() else ''}".encode())
    return digest.hexdigest()[:16]


def _build(shards_dirs: Sequence[Path], split: Split, writer: ColumnWriter) -> Mapping[str, JsonValue]:
    for name, dtype in COLUMNS.items():
        writer.append(name, np.empty(0, dtype), dtype)  # there may be no folder
    shards: list[JsonValue] = []
    for number, folder in enumerate(shards_dirs):
        has_split = any(find_text(batch["split"], split).any() for batch in _read(folder, ["split"]))
        number_of: dict[str, int] = {}
        for batch in _read(folder, READ):
            rows = batch.filter(from_mask(find_text(batch["split"], split))) if has_split else batch
            if len(rows):
                _append(writer, rows, number, len(shards), number_of)
        shards += number_of
    return {"shards": shards}


def _read(folder: Path, columns: Sequence[str]) -> Any:
    return stream_columns(folder, columns, [name for name in ("split", "shard") if name in columns])


def _append(
    writer: ColumnWriter, rows: pa.RecordBatch, folder: int, num_before: int, number_of: dict[str, int]
) -> None:
    """Add some recordings. number_of: the tars of the folder, which grow; there are `num_before` of other folders."""
    names, codes = rows["shard"].dictionary.to_pylist(), to_numbers(rows["shard"].indices)
    numbers = np.zeros(len(names), np.int64)
    for code in dict.fromkeys(codes.tolist()):
        numbers[code] = num_before + number_of.setdefault(names[code], len(number_of))
    ends = ends_of_texts(rows["key"]).astype(np.int64)
    values = {
        "folder": np.full(len(rows), folder),
        "shard": numbers[codes],
        "offset": to_numbers(rows["offset"]),
        "size": to_numbers(rows["size"]),
        "sha256": np.frombuffer(bytes.fromhex("".join(rows["sha256"].to_pylist())), np.uint8),
        "key_ends": writer.length("key_text") - ends[0] + ends[1:],
        "key_text": bytes_of_texts(rows["key"]),
    }
    for name, found in values.items():
        writer.append(name, found, COLUMNS[name])
