"""Prefect's client with a total deadline and a limit of size for each exchange. Its own limits hold between two bytes.

No setting of Prefect gives the engine's requests such limits; its client context does, which takes settings of httpx.
What Prefect sends in other threads has no more than Prefect's own: logs, events and renewals of leases.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_API_URL

from tasks.orchestration.server import is_gone
from wavlm.errors import ServiceMissingError
from wavlm.execution.deadline import UNPACKED, Deadline, read_whole

logger = logging.getLogger(__name__)

DEADLINE = "wavlm.deadline"  # where a request has it
LIMITS = httpx.Limits(max_connections=16, max_keepalive_connections=0)  # a deadline knows the connections made under it


def open_prefect() -> SyncPrefectClient:
    """A client whose exchanges are whole after PREFECT_API_REQUEST_TIMEOUT seconds, or raise an httpx.HTTPError."""
    return get_client(_settings(again=False), sync_client=True)


@contextmanager
def bound_engine() -> Iterator[None]:
    """What Prefect asks by itself in this block, about states of runs and artifacts, is bounded as well.

    A request that took too long is sent again, as often as Prefect sends one again whose connection broke: a run
    outlives a server that hangs for a while, but none that never ends.
    """
    with ExitStack() as stack:
        try:
            context = stack.enter_context(SyncClientContext(httpx_settings=_settings(again=True)))
        except (RuntimeError, TypeError, ValueError) as error:  # of asking for its version
            if not isinstance(error.__cause__, httpx.HTTPError):
                raise _no_server(error) from error
            if not isinstance(error.__cause__, httpx.ConnectError):
                raise error.__cause__ from None
            # It is started again at this moment: the engine's own client, which has met it, waits for it.
            logger.debug("what Prefect asks is not bounded: %s", error)
        else:
            context._httpx_settings = None  # noqa: SLF001 - else Prefect makes another client where it names no settings
        yield


def _no_server(error: Exception) -> ServiceMissingError:
    return ServiceMissingError(
        "PREFECT_DOWN",
        f"what answers is no Prefect server, or none that this client can use: {error}; at {PREFECT_API_URL.value()}; "
        "correct PREFECT_API_URL, or unset it to use a temporary server",
    )


def _settings(*, again: bool) -> dict[str, Any]:
    """Settings of httpx; no transport of our own, which would know no proxy."""
    hooks = {"request": [partial(_begin, again=again)], "response": [partial(_read, again=again)]}
    return {"event_hooks": hooks, "limits": LIMITS}


def _begin(request: httpx.Request, *, again: bool) -> None:
    """Start the clock. Prefect sends a request again that was cut, but not after a TimeoutException."""
    if is_gone(request.url.netloc.decode()):
        raise httpx.TimeoutException("the temporary Prefect server died and was given up")
    before: Deadline | None = request.extensions.get(DEADLINE)
    if before is not None:
        before.end()
        if before.expired and not again:
            raise _too_late(before, again=again)
    deadline = Deadline(PREFECT_API_REQUEST_TIMEOUT.value())
    request.extensions |= {DEADLINE: deadline, **deadline.extensions}
    request.headers.update(UNPACKED)
    deadline.start()


def _read(response: httpx.Response, *, again: bool) -> None:
    deadline: Deadline = response.request.extensions[DEADLINE]
    try:
        read_whole(response)
    except (httpx.HTTPError, OSError) as error:
        if deadline.expired:
            raise _too_late(deadline, again=again) from error
        if isinstance(error, OSError):
            raise httpx.DecodingError(str(error)) from error
        raise
    finally:
        deadline.end()
    if deadline.expired:  # an answer without a length ends as well as it is cut
        raise _too_late(deadline, again=again)


def _too_late(deadline: Deadline, *, again: bool) -> httpx.TimeoutException:
    """Of these two Prefect repeats a request after the first alone."""
    kind = httpx.ReadTimeout if again else httpx.TimeoutException
    return kind(f"no whole answer in {deadline.seconds:g} s")
