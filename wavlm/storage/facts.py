"""Base class of stage results: what a stage reports when it is done, kept as JSON in `artifact.json`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from wavlm.errors import BadDataError
from wavlm.storage.seals import check_sealed


class Facts(BaseModel):
    """Base of all stage results.

    A field that a later version adds needs a default, so that results in older stores stay readable.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


F = TypeVar("F", bound=Facts)


def read_facts(path: Path, form: type[F]) -> F:
    """Read facts that a stage also wrote as a JSON file of its own, such as `codebook.json`.

    Raises BadDataError: CHECKSUM if it is not the file that was sealed, RECORD_BROKEN, naming file and field, if it is
    missing or holds something else.
    """
    check_sealed(path)
    try:
        return form.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise BadDataError(
            "RECORD_BROKEN", f"no {form.__name__} can be read: {error}; at {path}; make it again"
        ) from error
