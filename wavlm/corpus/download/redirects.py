"""Answers of web servers behind redirects, the failures of a transfer, and who may get a token."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx

from wavlm.errors import ServiceMissingError
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.deadline import Deadline

MAX_REDIRECTS = 5


class InterruptedTransferError(ServiceMissingError):
    """A failure after which another attempt at the same address may succeed."""

    def __init__(self, code: str, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(code, message)
        self.wait_seconds = wait_seconds

    is_transient = True  # also with a code that can mean a refusal: a full server answers 503 (DL_HTTP)


class RefusedError(ServiceMissingError):
    """A failure after which another attempt at this address is useless."""

    is_transient = False


@contextmanager
def follow_redirects(
    client: httpx.Client, url: str, headers: dict[str, str], deadline: Deadline, token: str
) -> Iterator[httpx.Response]:
    """The answer after at most five redirects. Every address must use https.

    Credentials are those inside an address, and a token, which only the first host gets. So none can reach another
    host. http is allowed only from this machine to itself.
    """
    current = first = httpx.URL(url)
    local = _is_loopback(current)
    for _ in range(MAX_REDIRECTS + 1):
        if not (current.scheme == "https" or (local and _is_loopback(current))):
            raise RefusedError("DL_INSECURE", explain_at(current, "only https is allowed"))
        known = {"Authorization": f"Bearer {token}"} if token and _is_same_place(current, first) else {}
        request = client.build_request("GET", current, headers=headers | known, extensions=deadline.extensions)
        with closing(client.send(request, stream=True, follow_redirects=False)) as response:
            if not response.has_redirect_location:
                yield response
                return
            try:
                current = current.join(response.headers["location"])
            except httpx.InvalidURL as error:
                raise RefusedError("DL_HTTP", explain_at(current, "broken redirect")) from error
    raise RefusedError("DL_HTTP", explain_at(current, f"more than {MAX_REDIRECTS} redirects"))


def _is_same_place(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _is_loopback(url: httpx.URL) -> bool:
    if url.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def explain_at(url: str | httpx.URL, what: str) -> str:
    """A failure with its address, which shows no secret, and what to do."""
    return f"{what}; at {without_secrets_in(str(url))}; check the address and the network, then run again"
