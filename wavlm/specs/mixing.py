"""Specs of mixing: how utterances are mixed with other utterances and noise, and effects on the waveform."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, Name, Natural, Positive, Probability, Spec

# Beyond 100 dB one signal is below the last of the 16 bits of the other. wavlm.loader.samples relies on this
# bound: within it float32 samples stay finite.
RatioDb = Annotated[float, Field(ge=-100, le=100)]

# Bounds of effects that draw a number, where the spec gives none. Unit by effect: Hz, dB or fraction.
_BOUNDS: dict[str, tuple[float, float]] = {
    "low_pass": (2000, 7500),
    "high_pass": (50, 500),
    "band_pass": (500, 3000),
    "gain": (-12, 6),
    "gaussian_snr": (5, 40),
    "clipping": (0.01, 0.05),
}


class EffectSpec(Spec):
    """One effect on the waveform, such as a filter or a codec. The paper's recipes use none."""

    name: Literal["room", "low_pass", "high_pass", "band_pass", "codec", "gain", "gaussian_snr", "clipping"]
    """Which effect. `room` needs a corpus of room impulse responses in the recipe's `rooms`.

    Change: choose what your recordings will suffer: `room` for far microphones, `codec` and `band_pass` for telephones.
    """

    probability: Probability
    """How many utterances get the effect. It is drawn for every utterance anew.

    Unit: fraction, 0 to 1.
    Change: 0.05 to 0.2 in `robust`; no paper gives a number.
    """

    minimum: float | None = None
    """Lower bound of the uniform draw. Not given: the usual bound of the effect.

    Unit: Hz for filters (cut-off or centre), dB for gain and gaussian_snr, fraction of clipped samples for clipping.
    Change: for a milder or a stronger effect. `room` and `codec` have no bounds.
    """

    maximum: float | None = None
    """Upper bound of the uniform draw. Not given: the usual bound of the effect.

    Unit: as `minimum`.
    Change: together with `minimum`.
    """

    @model_validator(mode="after")
    def _check_order(self) -> EffectSpec:
        low, high = self.bounds
        if low > high:
            raise ValueError(f"effect {self.name}: minimum {low} is above maximum {high}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of the draw: those of the spec, and the usual ones where it gives none."""
        low, high = _BOUNDS.get(self.name, (0.0, 0.0))
        return (
            low if self.minimum is None else self.minimum,
            high if self.maximum is None else self.maximum,
        )


class MixSpec(Spec):
    """Mixing of utterances with other utterances and noise: a file of data_specs/mixes (WavLM, Algorithm 1)."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Name
    """Name of the mix, and of its file without `.yaml`. Recipes use this name."""

    probability: Probability
    """How many utterances get something mixed in.

    Unit: fraction, 0 to 1.
    Source: docs/algorithm.md 12.1: 0.2.
    Change: 0.5 is the default of the released training code (contradiction C6).
    """

    noise_probability: Probability = 0.0
    """How many of the mixed utterances get noise instead of another utterance.

    Unit: fraction, 0 to 1.
    Source: docs/algorithm.md 12.2: 0 for Base, 0.1 for Base+ and Large.
    Change: above 0 needs a noise corpus in the recipe. Raise it for noisy recordings (0.5 in `robust`).
    """

    speech_ratio_db: tuple[RatioDb, RatioDb] = (-5.0, 5.0)
    """Range of the energy of the utterance over the energy of the added utterance. The draw is uniform.

    Unit: dB.
    Source: docs/algorithm.md 12.4.
    Change: a lower range makes the added speech louder.
    """

    noise_ratio_db: tuple[RatioDb, RatioDb] = (-5.0, 20.0)
    """Range of the energy of the utterance over the energy of the added noise. The draw is uniform.

    Unit: dB.
    Source: docs/algorithm.md 12.4.
    Change: a lower range makes the added noise louder.
    """

    max_length_fraction: Probability = 0.5
    """Length of the longest region that is mixed, relative to the utterance. The length is drawn uniformly from 0 on.

    Unit: fraction, 0 to 1.
    Source: docs/algorithm.md 12.5: half of the utterance.
    Change: rarely. Labels stay those of the utterance, so the added sound should stay the smaller part.
    """

    exclude_self: bool = True
    """True: an utterance is never mixed with itself.

    Source: docs/algorithm.md 12.3. The reference allows it: one mix in five at 5 utterances per micro-batch.
    Change: False only to compare with the reference.
    """

    effects: tuple[EffectSpec, ...] = ()
    """Effects on every utterance, mixed or not, applied in this order after mixing.

    Change: add effects for far microphones and telephones, as `data_specs/mixes/robust.yaml` does.
    """


class MixturesSpec(Spec):
    """A small fixed set of mixtures, to validate on and to listen to. Every utterance in it is mixed."""

    num_utterances: Count
    """How many mixtures are made, from utterances of the validation split.

    Unit: utterances.
    Change: more give a steadier validation loss (16 in the demo, 200 in the paper's recipes).
    """

    max_seconds: Positive = 15.625
    """Longer utterances are cropped to this length.

    Unit: seconds.
    Source: docs/algorithm.md 7: crops of 250,000 samples.
    Change: to about `max_crop_seconds` of training; shorter to save time (10.0 in the demo).
    """

    seed: Natural = 0
    """Seed of the choice of utterances and of how they are mixed.

    Change: keep it when you compare models.
    """
