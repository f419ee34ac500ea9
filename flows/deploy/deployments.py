"""One deployment on the server: made, or changed where it is outdated."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from pydantic import JsonValue

from flows.deploy.changes import Changes, Fields, compare, flatten, unflatten
from flows.deploy.memory import forget, recall, remember
from flows.deploy.wanted import TAG, Deployment

Report = Callable[[str], None]
UNFINISHED = FlowRunFilter(
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*set(StateType) - TERMINAL_STATES]))
)
_NAMES = {"pool": "work_pool_name", "queue": "work_queue_name"}


def apply_deployment(client: SyncPrefectClient, wanted: Deployment, report: Report, *, reset: bool = False) -> UUID:
    """The deployment's id. With `reset`, changes that people made in Prefect are undone."""
    leaves = flatten(wanted.fields())
    _make_queue(client, wanted)
    try:
        current = client.read_deployment_by_name(wanted.full_name)
    except ObjectNotFound:
        deployment_id = _create(client, wanted)
        report(f"deployment {wanted.full_name}: made, in pool {wanted.pool}")
    else:
        deployment_id = current.id
        # A schedule that is not asked for this time stays.
        written = {} if reset else recall(client, _memory(deployment_id))
        applied = {path: value for path, value in written.items() if path in leaves or not _is_schedule(path)}
        _Update(client, wanted, current, report).write(applied)
    remember(client, _memory(deployment_id), leaves)
    return deployment_id


def remove_deployment(client: SyncPrefectClient, full_name: str, report: Report, remark: Report) -> None:
    """Remove a deployment that nothing starts any more, with its queue. One whose runs have not ended stays."""
    try:
        found = client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        return
    if TAG not in found.tags:  # somebody else's of this name
        return
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
    runs = client.read_flow_runs(deployment_filter=chosen, flow_run_filter=UNFINISHED, limit=1)
    if runs:
        remark(f"deployment {full_name}: stays, for {runs[0].name} has not ended; deploy again when it has")
        return
    client.delete_deployment(found.id)
    with suppress(ObjectNotFound):
        queue = client.read_work_queue_by_name(found.work_queue_name or "", work_pool_name=found.work_pool_name)
        client.delete_work_queue_by_id(queue.id)
    forget(client, _memory(found.id))
    report(f"deployment {full_name}: removed, nothing is handed over to it any more")


def read_applied(client: SyncPrefectClient, full_name: str) -> Fields | None:
    """The leaves that were written of a deployment last time, else those that it has; None if it is not there."""
    try:
        current = client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        return None
    return recall(client, _memory(current.id)) or flatten(_read_fields(current))


def _memory(deployment_id: UUID) -> str:
    return f"wavlm_deployment_{deployment_id.hex}"


def _is_schedule(path: str) -> bool:
    return path.startswith("schedules.")


def _make_queue(client: SyncPrefectClient, wanted: Deployment) -> None:
    try:
        client.read_work_queue_by_name(wanted.queue, work_pool_name=wanted.pool)
    except ObjectNotFound:
        client.create_work_queue(wanted.queue, work_pool_name=wanted.pool, concurrency_limit=1)


def _create(client: SyncPrefectClient, wanted: Deployment) -> UUID:
    fields: dict[str, Any] = wanted.fields()
    return client.create_deployment(
        client.create_flow_from_name(wanted.flow),
        wanted.name,
        entrypoint=wanted.entrypoint,
        work_pool_name=wanted.pool,
        work_queue_name=wanted.queue,
        description=wanted.description,
        tags=fields["tags"],
        parameters=fields["parameters"],
        job_variables=fields["job_variables"],
        parameter_openapi_schema=_schema(wanted),
        enforce_parameter_schema=True,
        schedules=[_new_schedule(wanted, slug) for slug in wanted.schedules],
    )


def _schema(wanted: Deployment) -> dict[str, Any]:
    module, _, name = wanted.entrypoint.rpartition(".")
    return parameter_schema(getattr(import_module(module), name)).model_dump(exclude_unset=True)


def _new_schedule(wanted: Deployment, slug: str) -> DeploymentScheduleCreate:
    times: Any = wanted.schedules[slug]
    return DeploymentScheduleCreate(slug=slug, schedule=CronSchedule(cron=times["cron"], timezone=times["timezone"]))


def _read_fields(current: DeploymentResponse) -> dict[str, JsonValue]:
    """The same tree as `Deployment.fields`, from the server. Whether a schedule is active is not in it: never ours."""
    return {
        "pool": current.work_pool_name,
        "queue": current.work_queue_name,
        "entrypoint": current.entrypoint,
        "description": current.description,
        "tags": [*sorted(current.tags)],
        "parameters": current.parameters,
        "job_variables": current.job_variables or {},
        "schedules": _read_schedules(current),
    }


def _read_schedules(current: DeploymentResponse) -> dict[str, JsonValue]:
    return {
        item.slug: {"cron": item.schedule.cron, "timezone": item.schedule.timezone}
        for item in current.schedules
        if item.slug and isinstance(item.schedule, CronSchedule)
    }


def _show(leaves: Fields, path: str) -> str:
    return json.dumps(leaves[path], ensure_ascii=False) if path in leaves else "none"


@dataclass(frozen=True)
class _Update:
    """A deployment that is there, and what it should be."""

    client: SyncPrefectClient
    wanted: Deployment
    current: DeploymentResponse
    report: Report

    def write(self, applied: Fields) -> None:
        """Write what differs, and nothing if nothing does: at each update the server deletes the planned runs."""
        now = flatten(_read_fields(self.current))
        changes = compare(flatten(self.wanted.fields()), applied, now)
        for path in changes.kept:
            held = f"is {json.dumps(now[path])}" if path in now else "was removed"
            self._say(f"{path} {held} in Prefect, and stays so; --reset undoes that")
        if fields := self._changed_fields(now, changes):
            self.client.update_deployment(self.current.id, DeploymentUpdate.model_validate(fields))
            for path in sorted((*changes.to_set, *changes.to_remove)):
                if not _is_schedule(path):
                    self._say(f"{path}: {_show(now, path)} -> {_show(changes.to_set, path)}")
            if "parameter_openapi_schema" in fields:
                self._say("the form of its parameters is new")
        for slug in sorted({path.split(".")[1] for path in changes.to_set if _is_schedule(path)}):
            self._write_schedule(slug)

    def _changed_fields(self, now: Fields, changes: Changes) -> dict[str, Any]:
        """Fields of an update; a tree is written as a whole, whichever leaf changed."""
        tree = unflatten({p: v for p, v in {**now, **changes.to_set}.items() if p not in changes.to_remove})
        touched = {path.split(".")[0] for path in (*changes.to_set, *changes.to_remove) if not _is_schedule(path)}
        fields: dict[str, Any] = {_NAMES.get(name, name): tree.get(name, {}) for name in touched}
        if fields.keys() & set(_NAMES.values()):  # the server finds a queue by its pool
            fields |= {_NAMES[name]: tree[name] for name in _NAMES}
        schema = _schema(self.wanted)
        if self.current.parameter_openapi_schema != schema:
            fields["parameter_openapi_schema"] = schema
        return fields

    def _write_schedule(self, slug: str) -> None:
        new = _new_schedule(self.wanted, slug)
        ids = {item.slug: item.id for item in self.current.schedules}
        if slug in ids:
            self.client.update_deployment_schedule(self.current.id, ids[slug], schedule=new.schedule)
        else:
            self.client.create_deployment_schedules(self.current.id, [new])
        before = _read_schedules(self.current).get(slug)
        old = "none" if before is None else json.dumps(before)
        self._say(f"schedule {slug}: {old} -> {json.dumps(self.wanted.schedules[slug])}")

    def _say(self, text: str) -> None:
        self.report(f"deployment {self.wanted.full_name}: {text}")
