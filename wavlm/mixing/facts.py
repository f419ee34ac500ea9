"""What the stage mixtures reports about the fixed mixtures."""

from __future__ import annotations

from wavlm.storage.facts import Facts


class MixturesFacts(Facts):
    """Counts and means over all mixtures."""

    utterances: int
    hours: float
    with_speech: int  # mixtures with another utterance
    with_noise: int  # mixtures with noise
    mixed_share: float  # mixed samples over all samples, 0 to 1
    mean_ratio_db: float
    turned_down: int  # mixtures that were scaled down because they would have clipped
    listening_pairs: int
