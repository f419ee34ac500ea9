"""What a publisher asks for before a download: names of environment variables, and nothing that is secret."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wavlm.specs.base import Spec

VARIABLE = r"^[A-Z][A-Z0-9_]*$"


class AccessSpec(Spec):
    """What a publisher asks for before a download. All of it comes from the environment; nothing is written down.

    Nobody can agree to terms, or know a password, for somebody else. So a spec only names the variables.
    """

    agreement: Annotated[str, Field(pattern=VARIABLE)]
    """Name of the environment variable that says that you have the publisher's agreement: it must be `yes`.

    Source: the publisher's terms, at `homepage`.
    """

    token: Annotated[str, Field(pattern=rf"{VARIABLE}|^$")] = ""
    """Name of the environment variable that holds an access token. It is sent to the hosts of `urls` and to no other.

    Change: give it where the publisher's server asks for one (`Authorization: Bearer`), such as a hub with gated data.
    """

    password: Annotated[str, Field(pattern=rf"{VARIABLE}|^$")] = ""
    """Name of the environment variable that holds the password of encrypted archives.

    Change: give it where sources have an `encryption`.
    """
