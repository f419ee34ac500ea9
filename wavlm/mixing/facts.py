"""What the stage mixtures reports about the fixed mixtures."""

from __future__ import annotations

from pydantic import Field

from wavlm.specs import EffectName
from wavlm.storage.facts import Facts


class MixturesFacts(Facts):
    """Counts and means over all mixtures."""

    utterances: int
    hours: float
    with_speech: int  # mixtures with another utterance
    with_noise: int  # mixtures with noise
    heard: int = 0  # mixtures in which the secondary can be heard: all of them, or the stage is refused
    effects: dict[EffectName, int] = Field(default_factory=dict)  # how many mixtures each effect was applied to
    mixed_share: float  # mixed samples over all samples, 0 to 1
    mean_ratio_db: float
    turned_down: int  # mixtures that were scaled down because they would have clipped
    listening_pairs: int  # of mixtures and of single effects
