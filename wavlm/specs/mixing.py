"""Specs of mixing: how utterances are mixed with other utterances and noise, and effects on the waveform."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Name, Natural, Positive, Probability, Spec

# Beyond 100 dB one signal is below the last of the 16 bits of the other. wavlm.loader.samples relies on this
# bound: within it float32 samples stay finite.
RatioDb = Annotated[float, Field(ge=-100, le=100)]

EffectName = Literal[
    "room",
    "equaliser",
    "low_pass",
    "high_pass",
    "band_pass",
    "codec",
    "mp3",
    "gain",
    "gaussian_snr",
    "clipping",
]


class _Range(NamedTuple):
    """The usual bounds of an effect's draw, and the limits of the bounds that a spec may give."""

    low: float
    high: float
    lowest: float
    highest: float


# The effects that draw a number. Unit by effect: Hz, dB, kbit/s or fraction.
_RANGES: dict[str, _Range] = {
    "equaliser": _Range(-12, 12, -40, 40),
    "low_pass": _Range(2000, 7500, 100, 7900),
    "high_pass": _Range(50, 500, 20, 7900),
    "band_pass": _Range(500, 3000, 100, 7000),
    "mp3": _Range(8, 64, 8, 160),
    "gain": _Range(-12, 6, -60, 60),
    "gaussian_snr": _Range(5, 40, -20, 100),
    "clipping": _Range(0.02, 0.1, 0.02, 0.5),
}
MP3_KBITS_PER_SECOND = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of MPEG-2, at 16 kHz


class EffectSpec(Spec):
    """One effect on the waveform, such as a filter or a codec. The paper's recipes use none."""

    name: EffectName
    """Which effect. `room` needs a corpus of room impulse responses in the recipe's `rooms`.

    Change: choose what your recordings will suffer: `room` for far microphones, `codec` and `band_pass` for telephones,
    `mp3` for podcasts, `equaliser` for microphones of every kind.
    """

    probability: Probability
    """How many utterances get the effect. It is drawn for every utterance anew.

    Unit: fraction, 0 to 1.
    Change: 0.03 to 0.2 in `robust`; no paper gives a number.
    """

    minimum: float | None = None
    """Lower bound of the uniform draw. Not given: the usual bound of the effect.

    Unit: Hz for filters (cut-off or centre), dB for gain, equaliser and gaussian_snr, kbit/s for mp3, fraction of
    clipped samples for clipping (whole percents).
    Change: for a milder or a stronger effect. `room` and `codec` have no bounds.
    """

    maximum: float | None = None
    """Upper bound of the uniform draw. Not given: the usual bound of the effect.

    Unit: as `minimum`.
    Change: together with `minimum`.
    """

    @model_validator(mode="after")
    def _check_bounds(self) -> EffectSpec:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        given = next((field for field, value in bounds.items() if value is not None), "name")
        found = _RANGES.get(self.name)
        for field, value in bounds.items():
            if value is None:
                continue
            if found is None:
                raise FieldError(f"effect {self.name}: has no bounds, but {field} is {value}: leave it out", field)
            if not found.lowest <= value <= found.highest:
                raise FieldError(
                    f"effect {self.name}: {field} {value} is outside {found.lowest:g} to {found.highest:g}", field
                )
        low, high = self.bounds
        if low > high:
            raise FieldError(f"effect {self.name}: minimum {low} is above maximum {high}", given)
        if self.name == "clipping" and any(abs(100 * share - round(100 * share)) > 1e-6 for share in (low, high)):
            raise FieldError(f"effect clipping: bounds {low} and {high} are not whole percents, such as 0.02", given)
        if self.name == "mp3" and not any(low <= rate <= high for rate in MP3_KBITS_PER_SECOND):
            raise FieldError(
                f"effect mp3: no bit rate from {low:g} to {high:g} kbit/s: use {MP3_KBITS_PER_SECOND}", given
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of the draw: those of the spec, and the usual ones where it gives none."""
        usual = _RANGES.get(self.name, _Range(0.0, 0.0, 0.0, 0.0))
        return (
            usual.low if self.minimum is None else self.minimum,
            usual.high if self.maximum is None else self.maximum,
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

    Change: add effects for far microphones and telephones, as `data_specs/mixes/robust.yaml` does. Each has a pair of
    files to listen to in the stage mixtures and in `wavlm listen`.
    """


class MixturesSpec(Spec):
    """A small fixed set of mixtures, to validate on and to listen to. Something is mixed into every utterance in it."""

    num_utterances: Count
    """How many mixtures are made, from utterances of the validation split.

    Unit: utterances.
    Change: more give a steadier validation loss (16 in the demo, 200 in the paper's recipes).
    """

    max_seconds: Positive = 15.625
    """Longer utterances are cropped to this length, or to the crops of the iteration's training if these are shorter.

    Unit: seconds.
    Source: docs/algorithm.md 7: crops of 250,000 samples.
    Change: shorter to save time. It has no effect if it is longer than `max_crop_seconds` or `group_seconds`.
    """

    seed: Natural = 0
    """Seed of the choice of utterances and of how they are mixed.

    Change: keep it when you compare models.
    """
