"""The client of an S3 store: its address and its credentials, as other tools of AWS read them.

Both come from the environment (`AWS_...`), or from a profile (`~/.aws`), which needs botocore. They are given to
nothing but the client.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore.store import S3Store

from wavlm.errors import UsageError
from wavlm.errors.secrets import without_secrets_in

REGION = "us-east-1"  # what stores other than that of AWS expect
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REFRESH = timedelta(minutes=10)  # of a profile's credentials
_TRUE = {"1", "true", "yes"}


def open_s3(bucket: str, folder: str, limits: Mapping[str, Any], retries: Mapping[str, Any]) -> S3Store:
    """A client for a folder of a bucket. Raises UsageError (MIRROR_ADDRESS, PACKAGE_MISSING)."""
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
    options: dict[str, Any] = dict(limits)
    config: dict[str, Any] = {}
    if endpoint:
        config["endpoint"] = endpoint
        options["allow_http"] = _may_be_plain(endpoint)
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        config["region"] = REGION
    given: dict[str, Any] = {"prefix": folder} if folder else {}
    if provider := _read_profile():
        given["credential_provider"] = provider
    return S3Store(bucket, config=config, client_options=options, retry_config=dict(retries), **given)  # type: ignore[arg-type]


def _may_be_plain(endpoint: str) -> bool:
    """Whether http is allowed: to this machine itself, or where AWS_ALLOW_HTTP says so."""
    found = urlsplit(endpoint)
    if found.scheme == "https":
        return False
    is_allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in _TRUE
    if found.scheme == "http" and (is_allowed or _is_loopback(found.hostname or "")):
        return True
    raise UsageError(
        "MIRROR_ADDRESS",
        f"the endpoint does not use https; at {without_secrets_in(endpoint)} (AWS_ENDPOINT_URL); use https, or allow "
        "what others can read and change on the way: AWS_ALLOW_HTTP=true",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_profile() -> Callable[[], dict[str, Any]] | None:
    """What returns the credentials of a profile; None if the environment has them, or if there is no profile."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    named = os.environ.get("AWS_PROFILE")
    files = [
        Path(os.environ.get(name) or Path.home() / ".aws" / last)
        for name, last in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config"))
    ]
    if not named and not any(file.is_file() for file in files):
        return None
    if find_spec("botocore") is None:
        raise UsageError(
            "PACKAGE_MISSING",
            "botocore, which reads profiles of AWS, is not installed; at AWS_PROFILE or ~/.aws; install it: pip "
            "install botocore, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        found = Session(profile=named).get_credentials()
    except BotoCoreError as error:
        raise UsageError(
            "MIRROR_DENIED", f"a profile cannot be used: {type(error).__name__}; at AWS_PROFILE or ~/.aws; correct it"
        ) from error
    if found is None:
        return None

    def read() -> dict[str, Any]:
        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + REFRESH,
        }

    return read
