"""Reach a Dask scheduler, and agree with it: one that runs already, or one of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm.errors import ServiceMissingError, UsageError

if TYPE_CHECKING:
    from distributed import Client

ANSWER_SECONDS = 30.0
NO_WORKERS_SECONDS = 300.0
TTL_SECONDS = 3600.0
GPU = "gpu"  # the resource that a worker with a GPU of its own offers


@contextmanager
def connect(address: str, workers: int, resources: dict[str, float]) -> Iterator[Client]:
    """A client of the cluster at an address, or of a new one of this machine with so many workers.

    Raises UsageError (PACKAGE_MISSING, CLUSTER_UNLIKE) and ServiceMissingError (CLUSTER_DOWN).
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "PACKAGE_MISSING", "the executor dask needs `distributed`; on this machine; pip install '.[cluster]'"
        ) from error
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        where: Any = address
        if not address:
            where = stack.enter_context(_start(workers, resources))
        try:
            client = Client(scheduler_file=where) if _is_file(address) else Client(where, timeout=ANSWER_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise down(f"no scheduler answers: {' '.join(str(error).split())[:200]}", address) from error
        stack.callback(client.close)
        _agree(client, address, resources)
        yield client


# Of a cluster of this machine, and of this client.
_SETTINGS = {
    "distributed.scheduler.worker-ttl": f"{TTL_SECONDS:.0f}s",
    "distributed.scheduler.no-workers-timeout": f"{NO_WORKERS_SECONDS:.0f}s",
    "distributed.scheduler.allowed-failures": 1,
    "distributed.worker.daemon": False,
}


@contextmanager
def _start(workers: int, resources: dict[str, float]) -> Iterator[object]:
    """A cluster of processes on this machine. They end with this process; only it holds the key to them."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit=0,  # as with the pool, the kernel decides
        silence_logs=logging.CRITICAL,
        security=True,
        resources=resources,
    ) as cluster:
        yield cluster


def _agree(client: Client, address: str, resources: dict[str, float]) -> None:
    """Check what is there, and raise the limit after which a scheduler takes a worker for lost."""
    try:
        client.wait_for_workers(1, timeout=NO_WORKERS_SECONDS)
    except TimeoutError as error:
        raise down("it has no workers", address) from error
    with suppress(Exception):  # a scheduler that runs no functions keeps its limit: batches are short in any case
        client.run_on_scheduler(_raise_limit, seconds=TTL_SECONDS)
    try:
        client.get_versions(check=True)
    except ValueError as error:
        raise UsageError(
            "CLUSTER_UNLIKE",
            f"versions differ: {' '.join(str(error).split())[:400]}; at {address or 'this machine'}; install the same",
        ) from error
    offers = [worker["resources"] for worker in workers_of(client).values()]
    if any(not any(offer.get(name, 0) >= amount for offer in offers) for name, amount in resources.items()):
        raise UsageError(
            "CLUSTER_UNLIKE",
            f"no worker offers a GPU; at {address}; start those that have one with --resources {GPU}=1, or --gpus 0",
        )


def _raise_limit(seconds: float, dask_scheduler: Any = None) -> None:
    """In the scheduler: take no worker for lost that is silent for less than this."""
    if dask_scheduler.worker_ttl:
        dask_scheduler.worker_ttl = max(dask_scheduler.worker_ttl, seconds)


def workers_of(client: Client) -> dict[str, Any]:
    """The workers that a cluster has now, by address."""
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _is_file(address: str) -> bool:
    return bool(address) and "://" not in address and Path(address).suffix == ".json"


def down(what: str, address: str) -> ServiceMissingError:
    """The error for a cluster that does no work."""
    return ServiceMissingError(
        "CLUSTER_DOWN",
        f"the cluster does no work: {what}; at {address or 'this machine'}; start its scheduler and workers, then run "
        "again: finished parts stay",
    )
