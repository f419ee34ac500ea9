"""What all specs share: strictness, and types with bounds."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

SAMPLE_RATE_HZ = 16000
HOP_SAMPLES = 320  # product of the seven conv strides: one frame every 20 ms


class Spec(BaseModel):
    """Strict, frozen, refuses unknown fields, infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # Fields that say nothing about what is made: words for people, mirrors of pinned bytes.
    not_identity: ClassVar[frozenset[str]] = frozenset()
