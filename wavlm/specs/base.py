"""The base class of all specs: strict, frozen, documented field by field; and number types with bounds.

The docstring below a field is its documentation. It goes into the JSON schema (an editor shows it) and into
docs/recipes.md. Its first sentences say what the field means. After them come up to three lines:

    Unit: what the number counts.
    Source: a section of docs/algorithm.md or a paper.
    Change: when another value than the default, or than that of the shipped recipes, is right.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

# Of shards. 10 ms are a whole number of samples at each: pauses and voices are looked for in steps of 10 ms.
SampleRate = Literal[8000, 16000, 24000, 32000, 44100, 48000]
SAMPLE_RATES_HZ: tuple[int, ...] = get_args(SampleRate)
SAMPLE_RATE_HZ = 16000  # of shards whose spec does not say another
FRAME_RATE_HZ = 50  # of networks that name no sample rate: a frame every 20 ms, as those of HuBERT and WavLM
HOP_SAMPLES = 320  # of evaluations, whose audio has that rate: one frame per 20 ms


class FieldError(ValueError):
    """What a validator of a whole spec found wrong, and the path of the field that it is about."""

    def __init__(self, message: str, *field: str | int) -> None:
        super().__init__(message)
        self.field = field


class Spec(BaseModel):
    """Frozen and strict: no conversion between types, no unknown field, no infinity, no NaN."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    not_identity: ClassVar[frozenset[str]] = frozenset()
    """Names of fields that are no part of a key, because they do not change what is made.

    Examples: texts for people, addresses of mirrors of a file whose digest is pinned.
    """

    def __hash__(self) -> int:
        """By value. Python does not hash tables of names, which some fields are."""
        values = (frozenset(value.items()) if isinstance(value, dict) else value for value in self.__dict__.values())
        return hash((type(self), *values))
