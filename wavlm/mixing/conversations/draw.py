"""Draw a conversation: which utterances, when, how loud, in which room, with which noise.

All draws of a conversation are named after it, so a new conversation changes no other.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wavlm.errors import BadDataError, Code
from wavlm.mixing.sound import find_sound
from wavlm.rng import rng_for, seed_for
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.simulation import Seconds, SimulationSpec

LEVEL = 0.05  # root mean square of a speaker's sound before its own level: -26 dB of full scale
MOST_SILENT = 20  # utterances in a row without any sound


@dataclass(frozen=True)
class SourceUtterance:
    """Where an utterance of the corpora lies, or a stretch of it."""

    folder: int  # of the shards folders of the speech
    row: int
    speaker: str
    start: int
    stop: int


@dataclass(frozen=True)
class PlacedUtterance:
    """An utterance in a conversation."""

    utterance: SourceUtterance
    at: int  # sample of the conversation
    gain: float
    stretches: tuple[tuple[int, int], ...]  # with sound, in samples from its beginning; all else is silenced

    @property
    def length(self) -> int:
        return self.utterance.stop - self.utterance.start


@dataclass(frozen=True)
class DrawnConversation:
    """All that decides the samples of a conversation."""

    name: str
    part: str
    speakers: tuple[str, ...]
    placed: tuple[PlacedUtterance, ...]
    num_samples: int
    rooms: tuple[float, ...] = ()  # a number in [0, 1) per speaker that selects an impulse response; empty: dry
    noise: tuple[float, float] | None = None  # numbers that select the recording and the place in it; None: no noise
    snr_db: float = 0.0

    @property
    def turns(self) -> list[tuple[float, float, str]]:
        """Start and end in seconds, and speaker, in order of time."""
        found = [
            ((it.at + first) / SAMPLE_RATE_HZ, (it.at + last) / SAMPLE_RATE_HZ, it.utterance.speaker)
            for it in self.placed
            for first, last in it.stretches
        ]
        return sorted(found)


Load = Callable[[SourceUtterance], Waveform]


def deal_speakers(spec: SimulationSpec, speakers: Sequence[str]) -> dict[str, tuple[int, list[str]]]:
    """The conversations and the speakers of each part, in the order of hashes: test first, then dev.

    Raises BadDataError (SPLIT_EMPTY) for a part with too few speakers.
    """
    ordered = sorted(speakers, key=lambda name: (seed_for(spec.seed, "simulation", name), name))
    fewest = spec.speakers[1]
    num_test, num_dev = (
        max(fewest, round(share * len(ordered))) if count else 0
        for share, count in ((spec.test_speakers, spec.test), (spec.dev_speakers, spec.dev))
    )
    dealt = {
        "train": (spec.train, ordered[num_test + num_dev :]),
        "dev": (spec.dev, ordered[num_test : num_test + num_dev]),
        "test": (spec.test, ordered[:num_test]),
    }
    if short := [part for part, (count, names) in dealt.items() if count and len(names) < fewest]:
        raise BadDataError(
            Code.SPLIT_EMPTY,
            f"{len(ordered)} speakers are too few: conversations of the part {short[0]} have up to {fewest} of their "
            f"own; in the corpora of the simulation {spec.name}; add a corpus, or make fewer parts",
        )
    return dealt


def draw_conversation(
    spec: SimulationSpec, name: str, part: str, sources: Mapping[str, Sequence[SourceUtterance]], load: Load
) -> DrawnConversation:
    """Draw one. `sources`: the utterances of each speaker of its part.

    Raises BadDataError (TARGET_BAD) for speakers without any sound.
    """
    rng = rng_for(spec.seed, "simulation", part, name)
    count = int(rng.integers(spec.speakers[0], spec.speakers[1] + 1))
    speakers = tuple(str(item) for item in rng.permutation(sorted(sources))[:count])
    chosen = {
        speaker: [_choose(spec, sources[speaker], rng, load) for _ in range(int(rng.integers(*_closed(spec))))]
        for speaker in speakers
    }
    placing = _Placing(spec, rng, {it: 10 ** (rng.uniform(-spec.level_db, spec.level_db) / 20) for it in speakers})
    if spec.style == "independent":
        _place_independently(placing, chosen)
    else:
        _place_in_turns(placing, chosen)
    in_room, in_noise = rng.random() < spec.room_probability, rng.random() < spec.noise_probability
    rooms, noise = rng.random(count).tolist(), rng.random(2).tolist()
    return DrawnConversation(
        name,
        part,
        speakers,
        tuple(sorted(placing.placed, key=lambda it: (it.at, it.utterance.speaker))),
        placing.end,
        tuple(rooms) if spec.rooms and in_room else (),
        (noise[0], noise[1]) if spec.noise and in_noise else None,
        float(rng.uniform(*spec.snr_db)),
    )


@dataclass
class _Found:
    """An utterance that was chosen: from its first to its last sound."""

    utterance: SourceUtterance
    stretches: tuple[tuple[int, int], ...]
    level: float  # root mean square of its sound


@dataclass
class _Placing:
    """A conversation while it is made."""

    spec: SimulationSpec
    rng: np.random.Generator
    gains: Mapping[str, float]
    placed: list[PlacedUtterance] = field(default_factory=list)
    end: int = 0

    def add(self, found: _Found, at: int) -> None:
        gain = LEVEL * self.gains[found.utterance.speaker] / found.level
        self.placed.append(PlacedUtterance(found.utterance, at, gain, found.stretches))
        self.end = max(self.end, at + self.placed[-1].length)

    def end_of(self, speaker: str) -> int:
        """The sample at which a speaker's last utterance has ended: nobody speaks twice at once."""
        return max((it.at + it.length for it in self.placed if it.utterance.speaker == speaker), default=0)

    def draw_samples(self, of: Seconds) -> int:
        found = self.rng.exponential(of.mean) if of.type == "exponential" else self.rng.uniform(of.low, of.high)
        return round(found * SAMPLE_RATE_HZ)


def _place_in_turns(placing: _Placing, chosen: Mapping[str, Sequence[_Found]]) -> None:
    """One utterance after another. Each speaker speaks once first, in order; then whoever has utterances left."""
    spec, rng = placing.spec, placing.rng
    left = {speaker: list(found) for speaker, found in chosen.items()}
    for found, is_change in _order(spec, rng, left):
        pause, overlap = placing.draw_samples(spec.pauses), placing.draw_samples(spec.overlaps)
        if not placing.placed:
            at = 0
        elif is_change and rng.random() < spec.overlap:
            length = found.utterance.stop - found.utterance.start
            # A little of the shorter one is left alone, so that each is heard by itself.
            at = placing.end - min(overlap, 3 * min(length, placing.placed[-1].length) // 4)
        else:
            at = placing.end + pause
        placing.add(found, max(at, placing.end_of(found.utterance.speaker)))


def _order(
    spec: SimulationSpec, rng: np.random.Generator, left: dict[str, list[_Found]]
) -> Iterator[tuple[_Found, bool]]:
    """The utterances in their order, and whether the speaker has changed. It takes them out of `left`."""
    waiting, last = list(left), ""
    while any(left.values()):
        others = [speaker for speaker, found in left.items() if found and speaker != last]
        stays = rng.random() < spec.stays
        if waiting:
            speaker = waiting.pop(0)
        elif last and left[last] and (stays or not others):
            speaker = last
        else:
            speaker = others[int(rng.integers(len(others)))]
        yield left[speaker].pop(0), speaker != last
        last = speaker


def _place_independently(placing: _Placing, chosen: Mapping[str, Sequence[_Found]]) -> None:
    """Each speaker pauses before each utterance, whatever the others do."""
    for found in chosen.values():
        at = 0
        for it in found:
            at += placing.draw_samples(placing.spec.pauses)
            placing.add(it, at)
            at += it.utterance.stop - it.utterance.start


def _choose(spec: SimulationSpec, sources: Sequence[SourceUtterance], rng: np.random.Generator, load: Load) -> _Found:
    """A random utterance of a speaker, or a stretch of it, from its first to its last sound."""
    for _ in range(MOST_SILENT):
        source = sources[int(rng.integers(len(sources)))]
        length = min(source.stop - source.start, round(spec.turn_seconds * SAMPLE_RATE_HZ))
        start = source.start + int(rng.integers(source.stop - source.start - length + 1))
        samples = load(replace(source, start=start, stop=start + length))
        if stretches := find_sound(samples):
            first, last = stretches[0][0], stretches[-1][1]
            loud = np.concatenate([samples[begin:end] for begin, end in stretches]).astype(np.float64)
            return _Found(
                replace(source, start=start + first, stop=start + last),
                tuple((begin - first, end - first) for begin, end in stretches),
                float(np.sqrt(np.mean(loud**2))),
            )
    raise BadDataError(
        Code.TARGET_BAD,
        f"{MOST_SILENT} recordings in a row of the speaker {sources[0].speaker} have no sound; in the corpora of the "
        f"simulation {spec.name}; check their audio",
    )


def _closed(spec: SimulationSpec) -> tuple[int, int]:
    return spec.utterances[0], spec.utterances[1] + 1
