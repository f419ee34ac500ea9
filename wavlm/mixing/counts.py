"""What mixing and effects did to utterances, as counts that can be summed over micro-batches and ranks in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

from wavlm.mixing.mix import Event
from wavlm.specs import EffectName
from wavlm.storage.facts import Facts


class MixingFacts(Facts):
    """What mixing and effects did to the utterances of a training or of a set; an utterance counts every time."""

    utterances: int
    with_speech: int  # with a part of another utterance
    with_noise: int  # with a part of a noise recording
    mean_speech_ratio_db: float | None  # of those with speech
    mean_noise_ratio_db: float | None
    effects: dict[EffectName, int]  # how many utterances each effect was applied to


@dataclass(frozen=True)
class MixingCounts:
    """Whole numbers only: then a sum is the same in every order, for any number of workers, ranks and restarts.

    From `room` on, one field per effect: how many utterances it was applied to.
    """

    utterances: int = 0
    with_speech: int = 0
    with_noise: int = 0
    speech_ratio_millidb: int = 0  # summed over the utterances with speech
    noise_ratio_millidb: int = 0
    room: int = 0
    equaliser: int = 0
    low_pass: int = 0
    high_pass: int = 0
    band_pass: int = 0
    codec: int = 0
    mp3: int = 0
    gain: int = 0
    gaussian_snr: int = 0
    clipping: int = 0

    @classmethod
    def of(cls, utterances: int, events: Sequence[Event], effects: Iterable[EffectName]) -> MixingCounts:
        """The counts of so many utterances, in which these events are heard and to which these effects were applied.

        An event without samples, or of a silent secondary, changed nothing and is not counted.
        """
        heard = [event for event in events if event.num_samples and event.scale]
        speech = [event.ratio_db for event in heard if event.kind == "speech"]
        noise = [event.ratio_db for event in heard if event.kind == "noise"]
        return cls(
            utterances=utterances,
            with_speech=len(speech),
            with_noise=len(noise),
            speech_ratio_millidb=sum(round(1000 * ratio) for ratio in speech),
            noise_ratio_millidb=sum(round(1000 * ratio) for ratio in noise),
            **Counter[str](effects),
        )

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float]) -> MixingCounts:
        """From numbers by name, as `numbers` gives them."""
        return cls(**{field.name: round(numbers[f"mixing_{field.name}"]) for field in fields(cls)})

    @property
    def numbers(self) -> dict[str, float]:
        """The counts by names that are no one else's."""
        return {f"mixing_{field.name}": float(getattr(self, field.name)) for field in fields(self)}

    def plus(self, other: MixingCounts) -> MixingCounts:
        """The sums of both."""
        return MixingCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def facts(self, effects: Iterable[EffectName]) -> MixingFacts:
        """The counts and means, with the counts of these effects."""
        return MixingFacts(
            utterances=self.utterances,
            with_speech=self.with_speech,
            with_noise=self.with_noise,
            mean_speech_ratio_db=_mean_db(self.speech_ratio_millidb, self.with_speech),
            mean_noise_ratio_db=_mean_db(self.noise_ratio_millidb, self.with_noise),
            effects={name: getattr(self, name) for name in effects},
        )


def _mean_db(millidb: int, count: int) -> float | None:
    return round(millidb / 1000 / count, 3) if count else None
