"""Promise: a file that cannot be used is refused with its code, the account balances, and no good one is lost.

Injection: one poison file among three good ones, then the stage that decodes. The point is the number of the file.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path

import numpy as np

from tests.corpus.audio.recordings import KINDS, recording
from tests.faults.catalogue import Row
from tests.faults.scene import Scene
from tests.faults.trial import promise, run_forked
from tests.shards.corpora import SPEC, Clip, encode_audio, noise, noise_clip, write_corpus
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards, read_index
from wavlm.shards.recordings import Intake
from wavlm.shards.rejects import read_rejects

SECONDS = 1.5
WITH_A_LENGTH = ("WAV, 16 bits", "WAV, float", "FLAC, 16 bits", "AIFF", "CAF", "AU", "RF64", "Wave64", "NIST SPHERE")
DAMAGED = {"AUDIO_TRUNCATED", "AUDIO_CORRUPT", "AUDIO_UNREADABLE", "AUDIO_EMPTY"}


@dataclass(frozen=True)
class Poison:
    """A file, and the codes that it may be refused with."""

    what: str
    blob: bytes
    codes: frozenset[str]
    suffix: str = ".wav"


def count(scene: Scene, row: Row) -> int:
    """One point for each file."""
    return len(poisons())


@lru_cache(1)
def poisons() -> tuple[Poison, ...]:
    """All poison files; the codes are those that docs/errors.md explains them with."""
    return tuple(chain(_cut(), _flipped(), _numbers(), _quiet(), _no_audio()))


def _cut() -> Iterator[Poison]:
    for name in WITH_A_LENGTH:
        blob = recording(name, 0, SECONDS)
        for percent in (1, 30, 60, 90):
            what = f"{name} cut at {percent} %"
            yield Poison(what, blob[: len(blob) * percent // 100], frozenset(DAMAGED), f".{KINDS[name].suffix}")


def _flipped() -> Iterator[Poison]:
    """A bit of FLAC, whose frames have checksums."""
    blob = recording("FLAC, 16 bits", 0, SECONDS)
    for number in range(1, 13):
        changed = bytearray(blob)
        changed[len(blob) * number // 13] ^= 0x10
        yield Poison(f"FLAC with a flipped bit, {number}", bytes(changed), frozenset(DAMAGED), ".flac")


def _numbers() -> Iterator[Poison]:
    for value, code in ((np.nan, "AUDIO_NONFINITE"), (np.inf, "AUDIO_NONFINITE"), (-np.inf, "AUDIO_NONFINITE"),
                        (37.0, "AUDIO_RANGE"), (-1e6, "AUDIO_RANGE"), (1e30, "AUDIO_RANGE")):  # fmt: skip
        for place in (0, 12_000, 23_999):
            samples = noise(SECONDS, 1)
            samples[place] = value
            yield Poison(f"sample {place} is {value}", encode_audio(samples, subtype="FLOAT"), frozenset({code}))


def _quiet() -> Iterator[Poison]:
    for level in (0.0, 0.1, -0.5):
        yield Poison(f"all samples are {level}", encode_audio(np.full(24_000, level)), frozenset({"AUDIO_SILENT"}))
    one = noise(SECONDS, 1)
    both = encode_audio(np.stack([one, -one], 1))
    yield Poison("two channels that cancel each other", both, frozenset({"AUDIO_CANCELS"}))
    yield Poison("too short", encode_audio(noise(0.2, 1)), frozenset({"TOO_SHORT"}))
    yield Poison("one sample", encode_audio(noise(1 / 16000, 1)), frozenset({"TOO_SHORT", "AUDIO_SILENT"}))
    yield Poison("no sample", encode_audio(noise(0, 1)), frozenset({"AUDIO_EMPTY"}))


def _no_audio() -> Iterator[Poison]:
    garbage = np.random.default_rng(5).bytes(20_000)
    texts = {"nothing": b"", "one byte": b"R", "a web page": b"<!DOCTYPE html><html>log in</html>" * 50,
             "notes": b"words of somebody\n" * 99, "garbage": garbage, "zeros": bytes(20_000),
             "a ZIP": b"PK\x03\x04" + garbage, "a header alone": encode_audio(noise(SECONDS, 1))[:20]}  # fmt: skip
    for what, blob in texts.items():
        yield Poison(what, blob, frozenset({"AUDIO_UNREADABLE", "AUDIO_EMPTY", "AUDIO_TRUNCATED"}))


def attempt(scene: Scene, row: Row, point: int) -> tuple[int, str]:
    """Pack, and compare the account."""
    poison, folder = poisons()[point - 1], scene.folder / "poison"
    shutil.rmtree(folder, ignore_errors=True)
    done = run_forked(partial(_work, poison, folder), scene.folder / "log")
    promise(done.code == 0, f"{poison.what}: {done.said[-800:]}")
    return 1, f"{poison.what}: {done.last_line}"


def _work(poison: Poison, folder: Path) -> None:
    good = [noise_clip(f"good-{number}", 1.0) for number in range(3)]
    bad = Clip("bad-0", poison.blob, poison.suffix)
    corpus = write_corpus(folder / "corpus", [good[0], bad, *good[1:]])
    out = folder / "out"
    out.mkdir()
    spec = SPEC.model_copy(update={"max_rejected": 1.0})
    facts = build_shards(spec, corpus, out, 1, no_progress, Intake(stall_seconds=0))
    (refused,) = read_rejects(out)
    assert refused.key == "bad-0"
    assert refused.reason in poison.codes, f"{refused.reason} ({refused.detail}), expected one of {poison.codes}"
    assert facts.recordings == 4
    assert facts.recordings_used == 3
    assert facts.samples_used == sum(clip.num_samples for clip in good)
    assert facts.samples == facts.samples_used + facts.samples_excluded + facts.samples_refused
    assert sum(facts.excluded.values()) + sum(facts.rejected.values()) == 1
    assert {key.partition("_")[0].rpartition("/")[2] for key in read_index(out).keys} >= {clip.key for clip in good}
    sys.stdout.write(refused.reason)
