"""The version of an MLflow server: one that this client cannot talk to is named, instead of failing somewhere later."""

from __future__ import annotations

import logging
import re

from wavlm.errors import ServiceMissingError
from wavlm.pipeline.registration import without_password

OLDEST = (2, 4)  # the first with aliases of models and data sets of runs
MAX_BYTES = 100
_VERSION = re.compile(r"(\d+)\.(\d+)[\w.+-]*")

_log = logging.getLogger(__name__)


def require_known_server(uri: str) -> None:
    """Raise ServiceMissingError (REGISTRY_VERSION) if the server at an http address is too old; warn if it is newer."""
    if not uri.startswith(("http://", "https://")):
        return
    from mlflow.version import VERSION

    found = _VERSION.fullmatch(_fetch_version(uri))
    if found is None:  # it does not say, or somebody else answers: the first real question shows it
        return
    version = (int(found[1]), int(found[2]))
    if version < OLDEST:
        raise ServiceMissingError(
            "REGISTRY_VERSION",
            f"the server is MLflow {found[0]}, which has no aliases: {OLDEST[0]}.{OLDEST[1]} is needed, this client is "
            f"{VERSION}; at {without_password(uri)}; update the server",
        )
    if version[0] > int(VERSION.partition(".")[0]):
        _log.warning(
            "the server is MLflow %s, newer than this client, %s; at %s; if something fails, update the client: "
            "pip install 'mlflow>=%s'",
            found[0],
            VERSION,
            without_password(uri),
            found[1],
        )


def _fetch_version(uri: str) -> str:
    """What the server says at /version; empty if it does not say. Raises what MLflow raises if nobody answers."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    with http_request(credentials, "/version", "GET", stream=True) as response:  # type: ignore[no-untyped-call]
        return next(response.iter_content(MAX_BYTES), b"").decode(errors="replace").strip() if response.ok else ""
