"""Whether speech is mixed with other speech as often as a recipe asks for: before a training, and after it.

The other utterance comes from the same micro-batch (docs/algorithm.md 12.3). A micro-batch of one crop has none.
"""

from __future__ import annotations

from wavlm.mixing.counts import MixingFacts
from wavlm.pipeline.artifacts import Model

FEWEST = 0.5  # of what was asked for: below that it is said


def expect_alone(model: Model) -> str:
    """Why speech may find no other speech to be mixed with; empty if micro-batches have two crops of any length."""
    train, share = model.train, _asked_share(model)
    if not share or train.group_seconds >= 2 * train.max_crop_seconds:
        return ""
    return (
        f"micro-batches of {train.group_seconds:g} s hold one crop of {train.max_crop_seconds:g} s, which has no other "
        f"utterance to be mixed with, and {100 * share:.0f} % are to be mixed with one; raise group_seconds to "
        f"{2 * train.max_crop_seconds:g} or more, or lower max_crop_seconds"
    )


def describe_shortfall(model: Model, mixing: MixingFacts | None) -> str:
    """That much less speech was mixed with other speech than the recipe asks for; empty if it was not."""
    share = _asked_share(model)
    if mixing is None or not mixing.utterances or mixing.with_speech >= FEWEST * share * mixing.utterances:
        return ""
    found = 100 * mixing.with_speech / mixing.utterances
    why = expect_alone(model) or "micro-batches hold too few utterances"
    asked = f"the recipe asks for {100 * share:.0f} %"
    return f"{found:.1f} % of its utterances were mixed with another one, and {asked}: {why}"


def _asked_share(model: Model) -> float:
    """The share of utterances that the recipe wants mixed with other speech."""
    mix = model.mix
    if mix is None:
        return 0.0
    return mix.probability * (1 - (mix.noise_probability if model.noise else 0.0))
