"""What a simulation reports about its conversations."""

from __future__ import annotations

from wavlm.storage.facts import Facts


class PartFacts(Facts):
    """Counts and means over the conversations of one part."""

    conversations: int
    hours: float
    voices: int  # speakers of all conversations
    of_speakers: dict[int, int]  # how many conversations have so many speakers
    overlap: float  # seconds in which two or more speak, by seconds in which anybody speaks
    silence: float  # seconds in which nobody speaks, by all seconds
    mean_turn_s: float


class SimulationFacts(Facts):
    """A folder of simulated conversations."""

    key: str  # of the spec and of what it was made from
    train: PartFacts | None
    dev: PartFacts | None
    test: PartFacts | None
