"""Conversations made of single utterances, so that who speaks when is known by construction.

The draws of a conversation are named after it: a new speaker or recording changes others, a new conversation none.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import JsonValue

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.metrics.diarization import Turn
from wavlm.mixing.sound import find_sound
from wavlm.rng import rng_for, seed_for
from wavlm.shards import Reader
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.pairs import ConversationSpec

TRAIN, DEV, TEST = "made-train", "made-dev", "made-test"
LEVEL = 0.05  # root mean square of a speaker's sound before its own level: -26 dB of full scale
LARGEST = 0.99  # a louder conversation is scaled down to it
SHARES = (0.2, 0.8)  # of the shorter utterance that overlaps, if it does
MOST_SILENT = 20  # utterances in a row without any sound


@dataclass(frozen=True)
class Placed:
    """An utterance in a conversation."""

    take: Take
    at: int  # sample at which it begins
    gain: float


@dataclass(frozen=True)
class Conversation:
    """Utterances that are added up."""

    placed: tuple[Placed, ...]
    num_samples: int

    def load(self, readers: Sequence[Reader]) -> Waveform:
        waveform = np.zeros(self.num_samples, dtype=np.float32)
        for it in self.placed:
            samples = it.take.load(readers)
            waveform[it.at : it.at + len(samples)] += np.float32(it.gain) * samples
        peak = float(np.abs(waveform).max(initial=0.0))
        return waveform * np.float32(LARGEST / peak) if peak > LARGEST else waveform


@dataclass(frozen=True)
class Source:
    """An utterance that conversations can be made of."""

    speaker: str
    take: Take
    num_samples: int


@dataclass
class _Turns:
    """A conversation while it is made."""

    placed: list[Placed]
    turns: list[Turn]
    end: int = 0
    length: int = 0  # of the last utterance


def make_conversations(
    spec: ConversationSpec, sources: Sequence[Source], readers: Sequence[Reader]
) -> Iterator[Example]:
    """The conversations of all parts. Targets are their turns.

    Raises BadDataError: SPLIT_EMPTY for too few speakers, TARGET_BAD for speakers without any sound.
    """
    of_speaker: dict[str, list[Source]] = {}
    for source in sources:
        of_speaker.setdefault(source.speaker, []).append(source)
    for part, (count, speakers) in _deal(spec, sorted(of_speaker)).items():
        chosen = {name: of_speaker[name] for name in speakers}
        for number in range(count):
            yield _make(spec, f"{part}-{number:05d}", part, chosen, readers)


def _deal(spec: ConversationSpec, speakers: Sequence[str]) -> dict[str, tuple[int, list[str]]]:
    """The conversations and the speakers of each part, in the order of hashes: test first, then dev."""
    ordered = sorted(speakers, key=lambda name: (seed_for(spec.seed, "conversations", name), name))
    fewest = spec.speakers[1]
    num_test, num_dev = (
        max(fewest, round(share * len(ordered))) if count else 0
        for share, count in ((spec.test_speakers, spec.test), (spec.dev_speakers, spec.dev))
    )
    dealt = {
        TRAIN: (spec.train, ordered[num_test + num_dev :]),
        DEV: (spec.dev, ordered[num_test : num_test + num_dev]),
        TEST: (spec.test, ordered[:num_test]),
    }
    if short := [part for part, (count, names) in dealt.items() if count and len(names) < fewest]:
        raise BadDataError(
            Code.SPLIT_EMPTY,
            f"{len(ordered)} speakers are too few: conversations of the part {short[0]} have up to {fewest} of their "
            "own; in the evaluation's corpora; add a corpus, or make fewer parts",
        )
    return dealt


def _make(
    spec: ConversationSpec, name: str, part: str, sources: Mapping[str, Sequence[Source]], readers: Sequence[Reader]
) -> Example:
    rng = rng_for(spec.seed, "conversation", name)
    count = int(rng.integers(spec.speakers[0], spec.speakers[1] + 1))
    names = [str(item) for item in rng.permutation(sorted(sources))[:count]]
    levels = {item: LEVEL * 10 ** (rng.uniform(-spec.level_db, spec.level_db) / 20) for item in names}
    made, last, turn, num_silent = _Turns([], []), "", 0, 0
    while turn < count or made.end < spec.seconds * SAMPLE_RATE_HZ:
        # Each speaks once first; later on anybody but the last one.
        others = names[turn : turn + 1] if turn < count else [item for item in names if item != last]
        last = str(rng.choice(others or names))
        source = sources[last][int(rng.integers(len(sources[last])))]
        if _add(spec, made, source, levels[last], rng, readers):
            turn, num_silent = turn + 1, 0
        elif (num_silent := num_silent + 1) == MOST_SILENT:
            raise BadDataError(
                Code.TARGET_BAD,
                f"{MOST_SILENT} recordings in a row have no sound, the last one of the speaker {last}; in the "
                "evaluation's corpora; check their audio",
            )
    target: JsonValue = {"turns": [list(turn) for turn in sorted(made.turns)]}
    return Example(f"conversation/{name}", "", part, made.end, Conversation(tuple(made.placed), made.end), target)


def _add(
    spec: ConversationSpec,
    made: _Turns,
    source: Source,
    level: float,
    rng: np.random.Generator,
    readers: Sequence[Reader],
) -> bool:
    """Add a stretch of an utterance; False if it has no sound."""
    length = min(source.num_samples, round(spec.turn_seconds * SAMPLE_RATE_HZ))
    start = int(rng.integers(source.num_samples - length + 1))
    take = replace(source.take, start=source.take.start + start, stop=source.take.start + start + length)
    does_overlap, share, pause_s = rng.random(), rng.uniform(*SHARES), rng.exponential(spec.pause_seconds)
    samples = take.load(readers)
    stretches = find_sound(samples)
    if not stretches:
        return False
    first, last = stretches[0][0], stretches[-1][1]  # silence at the edges would not overlap with anything
    loud = np.concatenate([samples[begin:end] for begin, end in stretches]).astype(np.float64)
    length = last - first
    if made.placed and does_overlap < spec.overlap:
        at = made.end - round(share * min(length, made.length))
    else:
        at = made.end + round(pause_s * SAMPLE_RATE_HZ) * bool(made.placed)
    at = max(at, _end_of(made, source.speaker))
    kept = replace(take, start=take.start + first, stop=take.start + last)
    made.placed.append(Placed(kept, at, float(level / np.sqrt(np.mean(loud**2)))))
    for begin, end in stretches:
        start_s, end_s = ((at + place - first) / SAMPLE_RATE_HZ for place in (begin, end))
        made.turns.append((start_s, end_s, source.speaker))
    made.end, made.length = max(made.end, at + length), length
    return True


def _end_of(made: _Turns, speaker: str) -> int:
    """The sample at which a speaker's last turn has ended: nobody speaks twice at once."""
    return max((round(end_s * SAMPLE_RATE_HZ) for _, end_s, name in made.turns if name == speaker), default=0)
