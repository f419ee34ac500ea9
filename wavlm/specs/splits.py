"""Specs of splits: what heads are fitted on, what they are chosen by, and what is scored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import FieldError, Natural, Spec

Share = Annotated[float, Field(gt=0, lt=1)]


class ByPart(Spec):
    """The publisher's own partition."""

    type: Literal["parts"]
    """Selects the publisher's partition."""

    train: tuple[str, ...] = ()
    """Names of the parts that heads are fitted on. Only a task without a head needs none.

    Change: leave it empty only where nothing is trained.
    """

    dev: tuple[str, ...] = ()
    """Names of the parts on which learning rate and update are chosen. Give either this or `dev_speakers`.

    Change: leave it empty where the publisher has no dev part.
    """

    dev_speakers: Share | None = None
    """Share of the speakers of the train parts that are the dev part instead; one at least.

    Unit: fraction of the speakers.
    Change: give it where the publisher has no dev part, as in VoxCeleb1.
    """

    test: tuple[str, ...] = Field(min_length=1)
    """Names of the parts that are scored, once."""

    @model_validator(mode="after")
    def _check_parts(self) -> ByPart:
        if bool(self.dev) == (self.dev_speakers is not None):
            raise FieldError("give either names of dev parts or dev_speakers", "dev")
        for name, others in (("dev", self.train), ("test", (*self.train, *self.dev))):
            if shared := [part for part in getattr(self, name) if part in others]:
                raise FieldError(
                    f"{', '.join(shared)} is a part to learn from or to choose by, too: scores of what was seen say "
                    "nothing; name parts that do not overlap",
                    name,
                )
        return self


class BySpeaker(Spec):
    """Whole speakers: nobody of the test part is in the others."""

    type: Literal["speakers"]
    """Selects whole speakers, drawn with the seed."""

    dev: Share = 0.2
    """Share of the speakers on which learning rate and update are chosen; one at least.

    Unit: fraction of the speakers.
    Change: larger where there are few speakers.
    """

    test: Share = 0.2
    """Share of the speakers that are scored, once; one at least.

    Unit: fraction of the speakers.
    Change: larger where there are few speakers.
    """

    seed: Natural = 0
    """Seed of the draw.

    Change: to repeat an experiment with other speakers.
    """


class ByExample(Spec):
    """Single recordings, for tasks whose classes are the speakers."""

    type: Literal["examples"]
    """Selects single recordings, drawn with the seed. Each class keeps its shares, as far as it has recordings."""

    dev: Share = 0.2
    """Share of the recordings on which learning rate and update are chosen.

    Unit: fraction of the recordings of a class.
    Change: larger where there are few recordings.
    """

    test: Share = 0.2
    """Share of the recordings that are scored, once.

    Unit: fraction of the recordings of a class.
    Change: larger where there are few recordings.
    """

    seed: Natural = 0
    """Seed of the draw.

    Change: to repeat an experiment with other recordings.
    """


class Folds(Spec):
    """Each part, or each speaker, is the test part once; the next one is the dev part, all others are for training."""

    type: Literal["folds"]
    """Selects cross-validation. Scores are of all folds together."""

    by: Literal["parts", "speakers"] = "speakers"
    """What a fold is: a part that the publisher names, such as a session, or a speaker.

    Change: parts where the publisher names sessions.
    """


SplitSpec = Annotated[ByPart | BySpeaker | ByExample | Folds, Field(discriminator="type")]
