"""What a stage reports when it is done: a small frozen model per stage, kept as JSON in `artifact.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Base of all stage results. A field that is added later needs a default: older stores stay readable."""

    model_config = ConfigDict(frozen=True, extra="ignore")
