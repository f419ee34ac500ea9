"""What a recipe was deployed with before: what a second `wavlm deploy` does not name stays so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient

from flows.deploy.changes import Fields, unflatten
from flows.deploy.deployments import read_applied
from flows.deploy.notify import is_started_after_prepare
from flows.deploy.wanted import DATA_POOL, ENVIRONMENT, NIGHTLY, TIMEZONE, WEEKLY, Options
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime

FLOWS = ("pretrain", "prepare", "stage", "evaluate", "refresh")


def read_earlier(client: SyncPrefectClient, name: str) -> Options | None:
    """The options that the recipe of this name was deployed with; None if it is not on this server."""
    found = {flow: read_applied(client, f"{flow}/{name}") for flow in FLOWS}
    applied = {flow: leaves for flow, leaves in found.items() if leaves}
    return options_of(applied, after_prepare=is_started_after_prepare(client, name)) if applied else None


def options_of(applied: Mapping[str, Fields], *, after_prepare: bool = False) -> Options:
    """The options behind what was written of each flow; at least one flow is there."""
    trees: dict[str, Any] = {flow: unflatten(leaves) for flow, leaves in applied.items()}
    first = next(trees[flow] for flow in FLOWS if flow in trees)
    data = next((trees[flow]["pool"] for flow in ("pretrain", "prepare", "stage") if flow in trees), DATA_POOL)
    parameters, job = first.get("parameters", {}), first.get("job_variables", {})
    runtime = {name: value for name, value in parameters.get("runtime", {}).items() if name in Runtime.model_fields}
    nightly = trees.get("prepare", {}).get("schedules", {}).get(NIGHTLY, {})
    schedules = [trees.get(flow, {}).get("schedules", {}) for flow in ("refresh", "pretrain")]
    weekly: dict[str, Any] = next((found[WEEKLY] for found in schedules if WEEKLY in found), {})
    return Options(
        recipe=parameters.get("recipe", ""),
        store=Path(parameters.get("store", "")),
        runtime=Runtime(**runtime),
        data_pool=data,
        training_pool=trees["evaluate"]["pool"] if "evaluate" in trees else data,
        nightly=nightly.get("cron"),
        weekly=weekly.get("cron"),
        timezone=nightly.get("timezone") or weekly.get("timezone") or TIMEZONE,
        after_prepare=after_prepare,
        refresh_after_hours=trees.get("prepare", {}).get("parameters", {}).get("refresh_after_hours"),
        image=job.get("image"),
        environment=tuple(item for item in job.get("env", {}).items() if item not in ENVIRONMENT.items()),
    )


def require_same(earlier: Options | None, options: Options, name: str) -> None:
    """Raise UsageError (DEPLOYMENT_TAKEN) if another recipe of this name, or another store, takes its deployments."""
    if earlier is None or options.reset:
        return
    for what, before, now in (
        ("recipe", earlier.recipe, options.recipe),
        ("store", str(earlier.store), str(options.store)),
    ):
        if before != now:
            raise UsageError(
                "DEPLOYMENT_TAKEN",
                f"a recipe of this name is deployed with the {what} {before}, and this is {now}; at {name}; "
                f"give this recipe another `name`, or say --reset to deploy it in the place of the other",
            )
