"""Spec of simulated conversations, whose turns are known by construction: a file of data_specs/simulations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Name, Natural, NonNegative, Positive, Probability, Spec
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.labelling import ShardSpec

Decibels = Annotated[float, Field(ge=-60, le=60)]
Share = Annotated[float, Field(gt=0, lt=1)]


class ExponentialSeconds(Spec):
    """Times that are often short and seldom long, as pauses of speech are."""

    type: Literal["exponential"]
    """Selects this distribution."""

    mean: Positive
    """Their mean.

    Unit: seconds.
    Change: to the mean that you measured.
    """


class UniformSeconds(Spec):
    """Times that are drawn evenly between two bounds."""

    type: Literal["uniform"]
    """Selects this distribution."""

    low: NonNegative
    """The shortest.

    Unit: seconds.
    """

    high: NonNegative
    """The longest.

    Unit: seconds.
    """

    @model_validator(mode="after")
    def _check_order(self) -> UniformSeconds:
        if self.low > self.high:
            raise FieldError(f"the shortest {self.low} is above the longest {self.high}", "low")
        return self


Seconds = Annotated[ExponentialSeconds | UniformSeconds, Field(discriminator="type")]


class SimulationSpec(Spec):
    """Conversations of 1 to 8 speakers, made of single utterances with pauses, overlap, rooms and noise.

    The speakers of the corpora are dealt to the parts `train`, `dev` and `test`: nobody speaks in two parts.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"description"})

    name: Name
    """Name of the simulation, and of its file without `.yaml`. The conversations are named after it."""

    description: str
    """What the conversations are for."""

    corpora: tuple[CorpusSpec, ...] = Field(min_length=1)
    """Speech with known speakers. In YAML: names of files of data_specs/corpora."""

    noise: tuple[CorpusSpec, ...] = ()
    """Noise that lies under conversations. In YAML: names of corpora of the role noise. Not given: there is none.

    Change: give it where the recordings that are diarized later have noise.
    """

    rooms: tuple[CorpusSpec, ...] = ()
    """Room impulse responses. In YAML: names of corpora of the role room. Not given: all speech is dry.

    Change: give it for microphones that stand on a table.
    """

    shards: ShardSpec = ShardSpec(min_seconds=0.1, max_seconds=3600.0, max_rejected=0.0)
    """How the recordings of the corpora are packed. The default takes each as it is.

    Change: only where some recordings are known to be broken.
    """

    train: Natural
    """Conversations of the part `train`.

    Unit: conversations.
    Source: 100,000 mixtures are published for end-to-end diarization (Fujita et al. 2019).
    """

    dev: Natural = 0
    """Conversations of the part `dev`.

    Unit: conversations.
    Change: more for a surer choice.
    """

    test: Natural = 0
    """Conversations of the part `test`.

    Unit: conversations.
    Change: more for a narrower interval.
    """

    dev_speakers: Share = 0.2
    """Share of the speakers that only the part `dev` has, if it has conversations.

    Unit: fraction of the speakers.
    Change: larger where there are many speakers.
    """

    test_speakers: Share = 0.2
    """Share of the speakers that only the part `test` has, if it has conversations.

    Unit: fraction of the speakers.
    Change: larger where there are many speakers.
    """

    speakers: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]] = (2, 6)
    """Fewest and most speakers of a conversation; all numbers between them are equally likely.

    Unit: speakers.
    Change: equal for conversations of one size, as 3 and 3 for EEND-vector clustering.
    """

    style: Literal["turns", "independent"] = "turns"
    """`turns`: one utterance follows another, after a pause or before the last one has ended. `independent`: every
    speaker pauses and speaks without regard to the others, so overlap comes by chance.

    Source: turns as in simulated conversations (Landini et al. 2022), independent as in simulated mixtures (Fujita et
    al. 2019, algorithm 1).
    Change: `independent` to follow papers that train on simulated mixtures.
    """

    utterances: tuple[Count, Count] = (10, 20)
    """Fewest and most utterances of each speaker, drawn anew for each speaker.

    Unit: utterances.
    Source: Fujita et al. 2019: 10 to 20.
    Change: fewer for short conversations.
    """

    turn_seconds: Positive = 15.0
    """Of longer recordings a random stretch of so much is taken.

    Unit: seconds.
    Change: to the turns of the speech that you care about.
    """

    pauses: Seconds = ExponentialSeconds(type="exponential", mean=1.0)
    """Pauses: between an utterance and the next one of anybody (`turns`), or of the same speaker (`independent`).

    Source: Fujita et al. 2019 have exponential pauses, of 2 s on average for two speakers.
    Change: shorter for livelier talk; with `independent` it decides how much overlaps.
    """

    overlap: Probability = 0.3
    """`turns` only: share of the utterances that begin before the last one has ended.

    Unit: fraction of the changes from one speaker to another.
    Change: to the talk that you care about.
    """

    overlaps: Seconds = UniformSeconds(type="uniform", low=0.2, high=2.0)
    """`turns` only: how long they overlap, as far as the shorter of the two utterances allows it.

    Change: to the talk that you care about.
    """

    stays: Probability = 0.2
    """`turns` only: how likely the same speaker goes on, after a pause.

    Unit: fraction of the utterances.
    Change: higher for monologues.
    """

    level_db: NonNegative = 3.0
    """Speakers are brought to one level first, then each is changed by up to so much, up or down.

    Unit: dB.
    Change: wider where microphones are at different distances.
    """

    room_probability: Probability = 1.0
    """How likely a conversation is in a room, where there are `rooms`. Each speaker has an impulse response of it.

    Unit: fraction of the conversations.
    Change: lower to hear dry speech too.
    """

    noise_probability: Probability = 1.0
    """How likely there is noise under a conversation, where there is `noise`.

    Unit: fraction of the conversations.
    Change: lower to hear clean speech too.
    """

    snr_db: tuple[Decibels, Decibels] = (5.0, 20.0)
    """Lowest and highest level of the speech above the noise; drawn evenly between them for each conversation.

    Unit: dB, of the mean power where somebody speaks.
    Source: Fujita et al. 2019: 5, 10, 15 or 20 dB.
    Change: lower for a harder task.
    """

    tracks: bool = False
    """True: the track of each speaker and of the noise is kept beside each conversation, which is their sum.

    Change: true to train separation, or to listen to single speakers.
    """

    seed: Natural = 0
    """Seed of all draws. The same seed and corpora give the same bytes.

    Change: for other conversations of the same speakers.
    """

    @model_validator(mode="after")
    def _check_bounds(self) -> SimulationSpec:
        for name in ("speakers", "utterances", "snr_db"):
            low, high = getattr(self, name)
            if low > high:
                raise FieldError(f"the lower bound {low} is above the upper bound {high}", name)
        if not self.train + self.dev + self.test:
            raise FieldError("no conversation is asked for", "train")
        return self
