"""Statistics of drawn conversations: how many speak, how much overlaps, how long nobody speaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wavlm.mixing.conversations.draw import DrawnConversation
from wavlm.mixing.conversations.facts import PartFacts
from wavlm.specs import SAMPLE_RATE_HZ


def measure_part(drawn: Sequence[DrawnConversation]) -> PartFacts | None:
    """The facts of a part; None if it has no conversation."""
    if not drawn:
        return None
    seconds = sum(it.num_samples for it in drawn) / SAMPLE_RATE_HZ
    spoken_s, overlap_s = (sum(seconds_with(it, fewest) for it in drawn) for fewest in (1, 2))
    lengths = [end_s - start_s for it in drawn for start_s, end_s, _ in it.turns]
    return PartFacts(
        conversations=len(drawn),
        hours=round(seconds / 3600, 6),
        voices=len({speaker for it in drawn for speaker in it.speakers}),
        of_speakers=dict(sorted(Counter(len(it.speakers) for it in drawn).items())),
        overlap=round(overlap_s / spoken_s, 6),
        silence=round(1 - spoken_s / seconds, 6),
        mean_turn_s=round(sum(lengths) / len(lengths), 6),
    )


def seconds_with(drawn: DrawnConversation, fewest: int) -> float:
    """Seconds in which so many speak, or more."""
    edges = sorted([(start_s, 1) for start_s, _, _ in drawn.turns] + [(end_s, -1) for _, end_s, _ in drawn.turns])
    total, count, last_s = 0.0, 0, 0.0
    for at_s, change in edges:
        if count >= fewest:
            total += at_s - last_s
        count, last_s = count + change, at_s
    return total
