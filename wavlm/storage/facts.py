"""Base class of stage results: what a stage reports when it is done, kept as JSON in `artifact.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Base of all stage results.

    A field that a later version adds needs a default, so that results in older stores stay readable.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
