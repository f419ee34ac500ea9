"""What simulated conversations cost: hours that follow from the spec, and the disk that they take."""

from __future__ import annotations

from wavlm.mixing.conversations.facts import SimulationFacts
from wavlm.pipeline.artifacts import Simulation
from wavlm.pipeline.store import Store
from wavlm.specs.simulation import ExponentialSeconds, SimulationSpec

UTTERANCE_SECONDS = 10.0  # of a typical utterance of read speech, where none is cut shorter


def hours_of_simulation(item: Simulation, store: Store | None) -> float:
    """The hours that were made; before that what the spec lets expect, for utterances of a typical length."""
    if store is not None and store.is_complete(item):
        facts = store.facts(item, SimulationFacts)
        return sum(part.hours for part in (facts.train, facts.dev, facts.test) if part is not None)
    spec = item.spec
    return (spec.train + spec.dev + spec.test) * _mean_seconds(spec) / 3600


def _mean_seconds(spec: SimulationSpec) -> float:
    """The mean length of a conversation. Voices that do not regard each other speak at the same time."""
    speakers, utterances = (sum(bounds) / 2 for bounds in (spec.speakers, spec.utterances))
    pauses = spec.pauses
    pause = pauses.mean if isinstance(pauses, ExponentialSeconds) else (pauses.low + pauses.high) / 2
    one = utterances * (min(spec.turn_seconds, UTTERANCE_SECONDS) + pause)
    return one if spec.style == "independent" else speakers * one
