"""Prefect's client with a total deadline and a limit of size for each exchange. Its own limits hold between two bytes.

What Prefect asks by itself, as its engine does, has no more than these.
"""

from __future__ import annotations

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT

from wavlm.execution.deadline import UNPACKED, Deadline, read_whole

DEADLINE = "wavlm.deadline"  # where a request has it
LIMITS = httpx.Limits(max_connections=16, max_keepalive_connections=0)  # a deadline knows the connections made under it


def open_prefect() -> SyncPrefectClient:
    """A client whose exchanges are whole after PREFECT_API_REQUEST_TIMEOUT seconds, or raise an httpx.HTTPError."""
    hooks = {"request": [_begin], "response": [_read]}  # and no transport of our own, which would know no proxy
    return get_client({"event_hooks": hooks, "limits": LIMITS}, sync_client=True)


def _begin(request: httpx.Request) -> None:
    """Start the clock. Prefect sends a request again that was cut, but not after a TimeoutException."""
    before: Deadline | None = request.extensions.get(DEADLINE)
    if before is not None:
        before.end()
        if before.expired:
            raise _too_late(before)
    deadline = Deadline(PREFECT_API_REQUEST_TIMEOUT.value())
    request.extensions |= {DEADLINE: deadline, **deadline.extensions}
    request.headers.update(UNPACKED)
    deadline.start()


def _read(response: httpx.Response) -> None:
    deadline: Deadline = response.request.extensions[DEADLINE]
    try:
        read_whole(response)
    except (httpx.HTTPError, OSError) as error:
        if deadline.expired:
            raise _too_late(deadline) from error
        if isinstance(error, OSError):
            raise httpx.DecodingError(str(error)) from error
        raise
    finally:
        deadline.end()
    if deadline.expired:  # an answer without a length ends as well as it is cut
        raise _too_late(deadline)


def _too_late(deadline: Deadline) -> httpx.TimeoutException:
    return httpx.TimeoutException(f"no whole answer in {deadline.seconds:g} s")
