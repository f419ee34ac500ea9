"""Bring a Prefect server to what is wanted; a second time nothing changes, and what people changed stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from flows.deploy.deployments import apply_deployment, remove_deployment
from flows.deploy.earlier import read_earlier, require_same
from flows.deploy.notify import apply_automations
from flows.deploy.wanted import (
    Deployment,
    Options,
    said_limits,
    trainer_of,
    training_flow,
    want_deployments,
    want_limits,
    want_pools,
)
from tasks.orchestration.client import open_prefect
from wavlm.errors import ServiceMissingError, UsageError
from wavlm.specs import Recipe

Report = Callable[[str], None]  # one line about what was made, changed or kept
PROCESS = "process"
UNAUTHORIZED = 401
MEMORY_LEASES = "prefect.server.concurrency.lease_storage.memory"
FILE_LEASES = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
LONG_BUFFER = "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER=86400"


def recall_options(recipe: Recipe) -> Options | None:
    """What the recipe was deployed with before; None if it is not on the server. Raises what `apply` raises."""
    with _translate_errors(), open_prefect() as client:
        return read_earlier(client, recipe.name)


def apply(recipe: Recipe, options: Options, report: Report, remark: Report) -> tuple[Deployment, ...]:
    """Make what is missing, change what is outdated. Returns the deployments.

    `report` is told each change, `remark` what is left as it is.
    Raises ServiceMissingError if the server does not answer, UsageError if it refuses what it is told.
    """
    deployments = want_deployments(recipe, options)
    with _translate_errors(), open_prefect() as client:
        require_same(read_earlier(client, recipe.name), options, recipe.name)
        for pool, limit in want_pools(options).items():
            _apply_pool(client, pool, limit, options, report)
        _apply_limits(client, want_limits(options), said_limits(options), report, remark)
        ids = {item.full_name: apply_deployment(client, item, report, reset=options.reset) for item in deployments}
        if (left := f"stage/{trainer_of(recipe.name)}") not in ids:  # nothing is handed over any more
            remove_deployment(client, left, report, remark)
        apply_automations(client, recipe, options, ids[f"{training_flow(recipe)}/{recipe.name}"], report)
    return deployments


def _apply_pool(client: SyncPrefectClient, name: str, limit: int | None, options: Options, report: Report) -> None:
    """A pool that is there stays as it is: its type and its limits are the owner's, unless the command names one."""
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        pool = client.create_work_pool(WorkPoolCreate(name=name, type=PROCESS, concurrency_limit=limit))
        report(f"pool {name}: made, of processes{f', {limit} at a time' if limit else ''}")
    if limit and options.trainings and pool.concurrency_limit != limit:
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
        report(f"pool {name}: {pool.concurrency_limit or 'any number'} at a time -> {limit}")
    variables = pool.base_job_template.get("variables", {}).get("properties", {})
    if options.image and "image" not in variables:
        raise UsageError(
            "POOL_IMAGE",
            f"a pool of type {pool.type} starts no containers; at --image, pool {name}; leave --image out, or name a "
            "pool of Docker or Kubernetes with --pool and --gpu-pool",
        )


def _apply_limits(
    client: SyncPrefectClient, limits: dict[str, int], said: dict[str, int], report: Report, remark: Report
) -> None:
    """Limits of tags, if the server keeps what they have given out when it is started again.

    One that is there stays, unless the command names a number.
    """
    missing = []
    for name in limits:
        try:
            found = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            missing.append(name)
        else:
            if name in said and found.limit != said[name]:
                client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=said[name]))
                report(f"limit {name}: {found.limit} at a time -> {said[name]}")
    if missing and not _keeps_leases(client):
        remark(
            f"limits {', '.join(missing)}: not made. This server forgets at a restart who holds a slot, and the slot "
            f"would stay taken for ever. Start it with {FILE_LEASES} and {LONG_BUFFER}, and deploy again"
        )
        return
    for name in missing:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=limits[name]))
        report(f"limit {name}: made, {limits[name]} at a time")


def _keeps_leases(client: SyncPrefectClient) -> bool:
    try:
        settings = client.request("GET", "/admin/settings").json()
    except PrefectHTTPStatusError:
        return True  # it shows its settings to nobody: not a server of this kind
    return bool(settings["server"]["concurrency"]["lease_storage"] != MEMORY_LEASES)


@contextmanager
def _translate_errors() -> Iterator[None]:
    where = PREFECT_API_URL.value()
    try:
        yield
    except PrefectHTTPStatusError as error:
        if error.response.status_code == UNAUTHORIZED:
            raise ServiceMissingError(
                "PREFECT_REFUSED", f"the server wants a password; at {where}; set PREFECT_API_AUTH_STRING"
            ) from error
        said = error.response.text.strip()
        raise UsageError(
            "PREFECT_REFUSED",
            f"the server refuses: {said or error}; at {where}; correct it, and deploy again",
        ) from error
    except ValidationError as error:  # Prefect's client checks what it sends, and what it reads
        (first, *_) = error.errors()
        raise UsageError(
            "PREFECT_REFUSED",
            f"Prefect does not take this {error.title}: {first['msg']}; at {where}; change the option that it comes "
            "from, and deploy again",
        ) from error
    except httpx.HTTPError as error:
        raise ServiceMissingError(
            "PREFECT_DOWN", f"the server does not answer ({error}); at {where}; start it, and deploy again"
        ) from error
