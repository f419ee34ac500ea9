"""Mixing of utterances and noise, and what is done to the sound besides."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, Name, Natural, Positive, Probability, Spec

# Beyond this one of the two is below the last of 16 bits of the other. That float32 stays finite
# within it is what wavlm.loader.samples relies on.
RatioDb = Annotated[float, Field(ge=-100, le=100)]

# Of effects that draw a number, where the spec does not say: Hz, dB or share; see wavlm.mixing.effects.
_BOUNDS: dict[str, tuple[float, float]] = {
    "low_pass": (2000, 7500),
    "high_pass": (50, 500),
    "band_pass": (500, 3000),
    "gain": (-12, 6),
    "gaussian_snr": (5, 40),
    "clipping": (0.01, 0.05),
}


class EffectSpec(Spec):
    """One audiomentations transform, by name, with its arguments. Off in the paper's recipes."""

    name: Literal["room", "low_pass", "high_pass", "band_pass", "codec", "gain", "gaussian_snr", "clipping"]
    probability: Probability
    minimum: float | None = None  # unit by effect: Hz, dB or share; see wavlm.mixing.effects
    maximum: float | None = None

    @model_validator(mode="after")
    def _check_order(self) -> EffectSpec:
        low, high = self.bounds
        if low > high:
            raise ValueError(f"effect {self.name}: minimum {low} is above maximum {high}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds that were given, and the usual ones where none were."""
        low, high = _BOUNDS.get(self.name, (0.0, 0.0))
        return (
            low if self.minimum is None else self.minimum,
            high if self.maximum is None else self.maximum,
        )


class MixSpec(Spec):
    """Utterance and noise mixing (WavLM Algorithm 1; docs/algorithm.md 12)."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    probability: Probability
    noise_probability: Probability = 0.0
    speech_ratio_db: tuple[RatioDb, RatioDb] = (-5.0, 5.0)
    noise_ratio_db: tuple[RatioDb, RatioDb] = (-5.0, 20.0)
    max_length_fraction: Probability = 0.5
    exclude_self: bool = True
    effects: tuple[EffectSpec, ...] = ()


class MixturesSpec(Spec):
    """The small fixed mixed set: validation under noise and overlap, audible and auditable."""

    num_utterances: Count
    max_seconds: Positive = 15.625
    seed: Natural = 0
