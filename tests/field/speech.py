"""Real speech as arrays, and packed corpora of it, for the tests of what people reported."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.shards.corpora import Clip, write_corpus
from wavlm.execution.progress import no_progress
from wavlm.shards import ShardsFacts, Utterance, build_shards, stream
from wavlm.shards.recordings import Intake
from wavlm.shards.rejects import Reject, read_rejects
from wavlm.specs import ShardSpec

SPEECH = Path(__file__).parents[1] / "data" / "speech"
SPEC = ShardSpec(min_seconds=0.5, max_seconds=4.0, cut="equal", shard_megabytes=0.5, max_rejected=0.0)
ALL_BAD = SPEC.model_copy(update={"max_rejected": 1.0})
Samples = NDArray[np.float64]


@cache
def _all_speech() -> Samples:
    return np.concatenate([soundfile.read(path)[0] for path in sorted(SPEECH.glob("*/*.flac"))])


def speech(seconds: float, start: float = 0.0) -> Samples:
    """Seconds of real speech at 16 kHz, several speakers after each other; there are 29 s of it."""
    return _all_speech()[round(start * 16000) : round((start + seconds) * 16000)].copy()


def encode(samples: Samples, rate_hz: int = 16000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """A file of samples (T,) or (T, C)."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


@dataclass(frozen=True)
class Packed:
    """A shards folder and what is in it."""

    folder: Path
    facts: ShardsFacts
    utterances: dict[str, Utterance]
    rejects: list[Reject]


def pack(
    folder: Path, clips: Sequence[Clip], spec: ShardSpec = SPEC, intake: Intake | None = None, workers: int = 1
) -> Packed:
    """Pack a corpus, check that its account is exact, and read everything back."""
    corpus, out = write_corpus(folder / "corpus", clips), folder / "out"
    facts = build_shards(spec, corpus, out, workers, no_progress, intake or Intake(stall_seconds=0))
    found = [utterance for shard in sorted(out.glob("*.tar")) for utterance in stream(shard)]
    rejects = read_rejects(out)
    assert facts.samples == facts.samples_used + facts.samples_excluded + facts.samples_refused
    assert facts.samples_used == sum(piece.samples for utterance in found for piece in utterance.pieces)
    left_out = sum(max(0, reject.samples) for reject in rejects)
    assert facts.samples_excluded + facts.samples_refused == left_out
    assert facts.recordings == len(clips)
    refused = {reject.key for reject in rejects if reject.is_recording}
    used = {piece.key for utterance in found for piece in utterance.pieces}
    assert (used | refused, used & refused) == ({clip.key for clip in clips}, set())
    return Packed(out, facts, {utterance.key: utterance for utterance in found}, rejects)
