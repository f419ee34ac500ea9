"""Turn recordings of a manifest into utterances: read, check, decode, resample, cut, join, exclude.

Only this module tolerates bad audio: it lists the rejects. `build_shards` counts them and limits their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.corpus.audio.whole import decode_bytes, read_recording, to_utterance
from wavlm.errors import BadDataError
from wavlm.shards.rejects import Reject
from wavlm.shards.utterance import Piece, Utterance, cut, join_consecutive, num_pieces
from wavlm.specs import SAMPLE_RATE_HZ, ShardSpec

if TYPE_CHECKING:  # building a corpus needs libraries that reading shards does not need
    from wavlm.corpus.manifest import ManifestRow


def utterances_of(
    rows: Sequence[ManifestRow], spec: ShardSpec, corpus_dir: Path, rejects: list[Reject]
) -> Iterator[Utterance]:
    """The utterances of some recordings. Recordings that give none are appended to `rejects`.

    A recording is used completely or not at all. Raises BadDataError (FILE_CHANGED) if a file is missing or
    is not the one that the manifest describes.
    """
    min_samples = round(spec.min_seconds * SAMPLE_RATE_HZ)
    for utterance in join_consecutive(_cut_pieces(rows, spec, corpus_dir, rejects), spec):
        samples = len(utterance.waveform)
        if samples < min_samples and not utterance.is_cut:
            rejects += [_too_short(piece.key, samples, spec) for piece in utterance.pieces]
        else:
            yield utterance


def _cut_pieces(
    rows: Sequence[ManifestRow], spec: ShardSpec, corpus_dir: Path, rejects: list[Reject]
) -> Iterator[Utterance]:
    max_samples = round(spec.max_seconds * SAMPLE_RATE_HZ)
    min_samples = round(spec.min_seconds * SAMPLE_RATE_HZ)
    for row in rows:
        try:
            recording = _decode_recording(row, corpus_dir)
        except AudioError as error:
            rejects.append(Reject(row.key, str(error.code), error.message))
            continue
        samples = len(recording.waveform)
        count = num_pieces(samples, max_samples)
        if count > 1 and samples // count < min_samples:
            rejects.append(_too_short(row.key, samples // count, spec))
        else:
            yield from cut(recording, max_samples)


def _decode_recording(row: ManifestRow, corpus_dir: Path) -> Utterance:
    """One whole recording. Raises AudioError if it must not be used for training."""
    path = corpus_dir / row.path
    if not path.is_file():
        raise _file_changed_error(row, path, "the file is missing")
    blob = read_recording(path)
    if (digest := hashlib.sha256(blob).hexdigest()) != row.sha256:
        raise _file_changed_error(row, path, f"sha256 is {digest}, the manifest says {row.sha256}")
    waveform = to_utterance(decode_bytes(blob, path.name))
    return Utterance(
        key=row.key,
        speaker=row.speaker,
        split=row.split,
        waveform=waveform,
        text=row.text,
        phones=row.phones,
        pieces=(Piece(row.key, offset=0, start=0, samples=len(waveform)),),
    )


def _too_short(key: str, samples: int, spec: ShardSpec) -> Reject:
    seconds = samples / SAMPLE_RATE_HZ
    detail = f"utterance of {seconds:.3f} s, expected at least {spec.min_seconds}"
    return Reject(key, str(Reason.TOO_SHORT), detail)


def _file_changed_error(row: ManifestRow, path: Path, what: str) -> BadDataError:
    """An error and not a reject, because a key must always stand for the same bytes."""
    return BadDataError("FILE_CHANGED", f"{what}; recording {row.key} at {path}; make the corpus again")
