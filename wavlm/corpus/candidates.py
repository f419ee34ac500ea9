"""Recordings that are to be split into train and valid, as columns: 50 bytes each, and no names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wavlm.corpus.layouts import UNKNOWN_SPEAKER
from wavlm.corpus.manifest import ManifestRow
from wavlm.specs import CorpusSpec
from wavlm.storage.texts import Hashes, hash_texts

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Recordings to split, in columns: each array has an entry per recording."""

    by_speaker: Numbers  # the hash of the speaker; of an unknown one that of the recording
    by_recording: Numbers
    microseconds: Integers
    contents: Hashes  # equal for copies of each other
    files: Hashes  # of the bytes
    is_known: Mask  # whether the speaker is known
    is_given: Mask  # whether the layout puts it into the valid split
    is_listed: Mask  # whether `valid_speakers` names its speaker
    speakers: tuple[str, ...]  # all names, in order

    def __len__(self) -> int:
        return len(self.contents)


def candidates_of(rows: Sequence[ManifestRow], spec: CorpusSpec, given: frozenset[str]) -> Candidates:
    """The columns of some rows."""
    hash_of = cache(hash_name)
    return Candidates(
        by_speaker=np.array([hash_of(name_of_speaker(row)) for row in rows], np.float64),
        by_recording=np.array([hash_of(name_of_recording(row)) for row in rows], np.float64),
        microseconds=np.array([row.microseconds for row in rows], np.int64),
        contents=hash_texts(pa.array([repr(row.content) for row in rows], pa.string())),
        files=hash_texts(pa.array([row.sha256 for row in rows], pa.string())),
        is_known=np.array([row.speaker != UNKNOWN_SPEAKER for row in rows], np.bool_),
        is_given=np.array([row.key in given for row in rows], np.bool_),
        is_listed=np.array([row.speaker in spec.valid_speakers for row in rows], np.bool_),
        speakers=tuple(sorted({row.speaker for row in rows})),
    )


def hash_name(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(b"valid " + name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def hash_names(rows: pa.Table, *, by_speaker: bool) -> Numbers:
    """The hash of the speaker of each recording, or of the recording. rows: key, sha256, speaker and the region."""
    hash_of = cache(hash_name)
    columns = [rows[name].to_pylist() for name in ("speaker", "sha256", "key", "start_s", "end_s", "channel")]
    names = (
        speaker if by_speaker and speaker != UNKNOWN_SPEAKER else key if region == (None, None, None) else sha256
        for speaker, sha256, key, *times in zip(*columns, strict=True)
        for region in (tuple(times),)
    )
    return np.fromiter(map(hash_of, names), np.float64, len(rows))


def name_of_speaker(row: ManifestRow) -> str:
    """The speaker; if it is not known the recording."""
    return name_of_recording(row) if row.speaker == UNKNOWN_SPEAKER else row.speaker


def name_of_recording(row: ManifestRow) -> str:
    """The key; of a region the digest of its file, so that all regions of a file, and of its copies, go one way."""
    return row.sha256 if row.is_region else row.key
