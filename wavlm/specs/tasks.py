"""Specs of tasks: what is predicted, by SUPERB's short names (Yang et al. 2021; Tsai et al. 2022).

`heads` names the heads that a task can have. A task is one class here and one module of `wavlm.evaluation.tasks`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wavlm.specs.base import Positive, Spec


class KeywordSpotting(Spec):
    """KS: which word of a small list a recording holds. Target: `class`. Score: accuracy."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["ks"]
    """Selects keyword spotting."""


class SpeakerIdentification(Spec):
    """SID: which of the known speakers speaks. Target: the speaker. Score: accuracy."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["sid"]
    """Selects speaker identification."""

    max_train_seconds: Positive = 8.0
    """Training takes the first so many seconds of a recording at most; dev and test are heard whole.

    Unit: seconds.
    Source: SUPERB takes random crops of 8 s. Here it is the beginning, so that the mean over time is computed once.
    """


class IntentClassification(Spec):
    """IC: several classes at once, such as action, object and location. Target: `intent`. Score: all of them right."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["ic"]
    """Selects intent classification."""


class EmotionRecognition(Spec):
    """ER: which emotion is acted. Target: `class`. Score: accuracy."""

    heads: ClassVar[tuple[str, ...]] = ("pooled_linear",)

    type: Literal["er"]
    """Selects emotion recognition."""


TaskSpec = Annotated[
    KeywordSpotting | SpeakerIdentification | IntentClassification | EmotionRecognition, Field(discriminator="type")
]
