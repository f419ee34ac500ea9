"""What a publisher asks for, from the environment: the agreement, a token, a password. None of it is ever shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from wavlm.errors import UsageError
from wavlm.specs import CorpusSpec, HttpsSource

AGREED = "yes"


@dataclass(frozen=True)
class Credentials:
    """What downloads of one corpus may send and use. Its text says nothing about them."""

    token: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


NO_CREDENTIALS = Credentials()


def read_credentials(spec: CorpusSpec, environment: Mapping[str, str] | None = None) -> Credentials:
    """What the environment holds for the archives of a corpus.

    Raises UsageError: GATED if it does not say that the agreement was made, CREDENTIALS_MISSING for a token or password
    that is not there.
    """
    if spec.access is None or not any(isinstance(source, HttpsSource) for source in spec.sources):
        return NO_CREDENTIALS
    found = os.environ if environment is None else environment
    if found.get(spec.access.agreement) != AGREED:
        raise UsageError(
            "GATED",
            f"{spec.name} needs an agreement with its publisher, and {spec.access.agreement} is not {AGREED!r}; at "
            f"{spec.homepage}; ask the publisher, then set it in the environment of the run",
        )
    for name in filter(None, (spec.access.token, spec.access.password)):
        if not found.get(name):
            raise UsageError(
                "CREDENTIALS_MISSING",
                f"the download of {spec.name} needs {name}; in the environment of the run; set it to what the "
                f"publisher gave you (see {spec.homepage})",
            )
    return Credentials(found.get(spec.access.token, ""), found.get(spec.access.password, ""))
