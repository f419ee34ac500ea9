"""Change audio files of all formats at random, and see that nothing of them vanishes in silence.

A changed file must either be refused with a code, or give samples. A loss that is not noted is a silent cut:

- No byte of the audio was taken away (bits flipped, bytes inserted, parts repeated, files joined, headers exchanged),
  the codec is the one of the whole file, but there are fewer samples than in the whole file (or files).
- Bytes were cut off, and the container says how long it is, but there are fewer samples. A container that does not say
  it (frames behind each other) may be shorter in proportion.

Errors of our own code, such as an index behind a list, count as faults although they would be refused.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tests.corpus.audio.recordings import KINDS, recording, write
from wavlm.corpus.audio.reason import AudioError
from wavlm.corpus.audio.stream import open_audio, probe

SECONDS = 1.0
SLOW_SECONDS = 60.0  # a decode of one second of audio that takes longer hangs
SLACK_SAMPLES = 4096  # two frames of the codec with the longest
# Frames behind each other, or a header without a length: nothing in the file says how long it was.
WITHOUT_LENGTH = frozenset({"ADTS, AAC", "AMR", "AC-3", "MP2", "PAF", "PVF", "IRCAM", "FLV, AAC"})
OUR_ERRORS = (IndexError, KeyError, TypeError, AttributeError, AssertionError, UnboundLocalError, ZeroDivisionError)
RNG = np.random.Generator


@dataclass(frozen=True)
class Case:
    """A changed file."""

    name: str  # of its format
    change: str
    blob: bytes
    least: float  # samples times channels that must come out; below that, the loss must be said


@dataclass(frozen=True)
class Result:
    """What came out of a file."""

    values: int  # samples times channels
    codec: tuple[str, str]
    is_noted: bool


def run(count: int, seed: int) -> list[dict[str, object]]:
    """The faults among this many changed files; none if all is well."""
    with tempfile.TemporaryDirectory() as folder:
        return [fault for case in cases(count, seed) if (fault := find_fault(case, Path(folder))) is not None]


def outcomes(count: int, seed: int) -> list[dict[str, object]]:
    """One dictionary per changed file: what was changed, and the outcome: ok, coded, crash, hang or silent."""
    with tempfile.TemporaryDirectory() as folder:
        return [_outcome(case, Path(folder)) for case in cases(count, seed)]


def _outcome(case: Case, folder: Path) -> dict[str, object]:
    fault = find_fault(case, folder)
    problem = str(fault["problem"]) if fault else ""
    if fault:
        outcome = {"a silent": "silent", "it hangs": "hang"}.get(problem[:8], "crash")
    else:
        try:
            read(folder / f"x.{KINDS[case.name].suffix}")
            outcome = "ok"
        except AudioError:
            outcome = "coded"
    return {"kind": f"{case.name}: {case.change}", "outcome": outcome, "detail": problem}


def cases(count: int, seed: int) -> Iterator[Case]:
    """Changed files, the same for a seed. The formats take turns."""
    names = sorted(KINDS)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        yield change(names[number % len(names)], rng)


def find_fault(case: Case, folder: Path) -> dict[str, object] | None:
    """What is wrong with the outcome of a changed file; None if nothing is."""
    path = write(folder, f"x.{KINDS[case.name].suffix}", case.blob)
    begin = time.monotonic()
    problem = _problem(case, path)
    if problem is None and time.monotonic() - begin > SLOW_SECONDS:
        problem = "it hangs"
    return None if problem is None else {"format": case.name, "change": case.change, "problem": problem}


def _problem(case: Case, path: Path) -> str | None:
    try:
        probe(path)
        result = read(path)
    except AudioError as error:
        is_ours = isinstance(error.__cause__, OUR_ERRORS)
        return f"our own error: {error.__cause__!r}" if is_ours else None
    except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
        return f"an error without a code: {error!r}"
    has_its_codec = result.codec == whole(case.name).codec
    if result.values < case.least and not result.is_noted and has_its_codec:
        return f"a silent cut: {result.values} of {case.least:.0f} values"
    return None


def read(path: Path) -> Result:
    """What comes out of a file."""
    with open_audio(path) as stream:
        values = sum(block.size for block in stream.blocks())
        return Result(values, (stream.info.format, stream.info.subtype), bool(stream.notes))


@lru_cache(maxsize=256)
def whole(name: str, number: int = 0) -> Result:
    """What comes out of a file that was not changed."""
    with tempfile.TemporaryDirectory() as folder:
        return read(write(Path(folder), f"x.{KINDS[name].suffix}", recording(name, number, SECONDS)))


def _flip(name: str, rng: RNG) -> Case:
    blob = bytearray(recording(name, 0, SECONDS))
    at = int(rng.integers(min(len(blob), 200) if rng.random() < 0.5 else len(blob)))
    bit = int(rng.integers(8))
    blob[at] ^= 1 << bit
    return Case(name, f"bit {bit} of byte {at} flipped", bytes(blob), whole(name).values)


def _overwrite(name: str, rng: RNG) -> Case:
    blob = recording(name, 0, SECONDS)
    at, size = int(rng.integers(min(len(blob), 120))), int(rng.choice([1, 2, 4, 8]))
    new = bytes([int(rng.choice([0, 255, 127, 128]))]) * size
    return Case(
        name, f"{size} bytes from {at} on set to {new[0]}", blob[:at] + new + blob[at + size :], whole(name).values
    )


def _insert(name: str, rng: RNG) -> Case:
    blob = recording(name, 0, SECONDS)
    at, new = int(rng.integers(len(blob) + 1)), rng.bytes(int(rng.integers(1, 2000)))
    return Case(name, f"{len(new)} bytes inserted at {at}", blob[:at] + new + blob[at:], whole(name).values)


def _repeat(name: str, rng: RNG) -> Case:
    blob = recording(name, 0, SECONDS)
    start, end = sorted(rng.integers(len(blob) + 1, size=2).tolist())
    return Case(name, f"bytes {start} to {end} twice", blob[:end] + blob[start:end] + blob[end:], whole(name).values)


def _cut(name: str, rng: RNG) -> Case:
    blob = recording(name, 0, SECONDS)
    end = int(rng.integers(1, len(blob)))
    least: float = whole(name).values
    if name in WITHOUT_LENGTH:
        least = least * end / len(blob) - 2 * SLACK_SAMPLES
    return Case(name, f"cut at byte {end}", blob[:end], least)


def _take_out(name: str, rng: RNG) -> Case:
    blob = recording(name, 0, SECONDS)
    start = int(rng.integers(len(blob)))
    end = min(start + int(rng.integers(1, 1000)), len(blob))
    least: float = 0 if name in WITHOUT_LENGTH or name == "MP3" else whole(name).values
    return Case(name, f"bytes {start} to {end} taken out", blob[:start] + blob[end:], least)


def _join(name: str, rng: RNG) -> Case:
    number = int(rng.integers(3))
    blob = recording(name, 0, SECONDS) + recording(name, number, SECONDS)
    least = whole(name).values + whole(name, number).values
    return Case(name, f"utterance {number} behind it", blob, least)


def _exchange(name: str, rng: RNG) -> Case:
    other = sorted(KINDS)[int(rng.integers(len(KINDS)))]
    size = int(rng.integers(4, 64))
    blob = recording(other, 0, SECONDS)[:size] + recording(name, 0, SECONDS)[size:]
    return Case(name, f"the first {size} bytes of {other}", blob, whole(name).values)


CHANGES: list[Callable[[str, RNG], Case]] = [_flip, _overwrite, _insert, _repeat, _cut, _take_out, _join, _exchange]
