"""Limits that runs share over all machines: how many download at a time, and how many train."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext
from prefect.exceptions import ObjectNotFound, PrefectException

from tasks.orchestration.client import open_prefect

DOWNLOAD = "download"
GPU = "gpu"

logger = logging.getLogger(__name__)


def limit_name(tag: str) -> str:
    """The name that Prefect gives to the limit of a tag."""
    return f"tag:{tag}"


@contextmanager
def hold_slot(tag: str) -> Iterator[None]:
    """Hold a slot of the tag's limit; wait for one if all are taken.

    Without a server, a limit of that name or a run of Prefect there is nothing to hold. A tag on the task would hold a
    slot as well, but a server that does not answer at that moment would fail the task.
    """
    with ExitStack() as stack:
        if TaskRunContext.get() is not None and _is_limited(tag):
            # If the server is lost, the work continues without its slot.
            slot = concurrency(limit_name(tag), strict=True, raise_on_lease_renewal_failure=False)
            try:
                stack.enter_context(slot)
            except (httpx.HTTPError, PrefectException) as error:
                logger.warning("no slot of the limit %s: %s; the work goes on without it", tag, error)
        yield


def _is_limited(tag: str) -> bool:
    try:
        with open_prefect() as client:
            client.read_global_concurrency_limit_by_name(limit_name(tag))
    except ObjectNotFound:
        return False
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("the limit %s is not known: %s; the work goes on without it", tag, error)
        return False
    return True
