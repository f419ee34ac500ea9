"""What a server holds for a deployed recipe, as values: nothing here talks to Prefect."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from tasks.orchestration.limits import DOWNLOAD, GPU, limit_name
from tasks.orchestration.server import QUIET
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.refreshes import aliases_of
from wavlm.specs import Recipe

DATA_POOL = "cpu"
TRAINING_POOL = "gpu"
DOWNLOADS, TRAININGS = 2, 1  # at a time, where nobody said anything
NIGHTLY, WEEKLY = "nightly", "weekly"  # names of schedules
TIMEZONE = "UTC"
TAG = "wavlm"  # of every deployment of ours
REFRESH = "refresh"  # a flow, and the name of a deployment's first part
HEARTBEAT_TAG = "wavlm-heartbeat"  # of runs whose silence means that they are lost: the automations match it
# Of every deployed run: quiet, with heartbeats, and with the logs of our own packages in Prefect.
ENVIRONMENT = {
    **QUIET,
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; Prefect takes no less
    "PREFECT_LOGGING_EXTRA_LOGGERS": "wavlm,tasks,flows",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


@dataclass(frozen=True)
class Options:
    """How to deploy; fields are the options of `wavlm deploy`."""

    recipe: str  # as a worker reads it: an absolute path, or the name of a shipped recipe
    store: Path
    runtime: Runtime
    data_pool: str = DATA_POOL
    training_pool: str = TRAINING_POOL
    nightly: str | None = None  # cron
    weekly: str | None = None
    timezone: str = TIMEZONE
    after_prepare: bool = False
    refresh_after_hours: float | None = None  # of new speech; of a recipe that has a weekly loop
    webhook: str | None = None  # a URL, which may be a secret
    image: str | None = None  # of a container, for pools of Docker and Kubernetes
    environment: tuple[tuple[str, str], ...] = ()  # of the runs, beside ours
    downloads: int | None = None  # at a time; None: as it is, and DOWNLOADS at first
    trainings: int | None = None
    reset: bool = False


@dataclass(frozen=True)
class Deployment:
    """One flow of one recipe. Its queue lets one run through at a time.

    A limit of the deployment would do that too, but Prefect ends a run whose lease it cannot renew, so a server that is
    away for some minutes would end trainings (docs/decisions/0031).
    """

    flow: str
    name: str
    pool: str
    description: str
    parameters: dict[str, JsonValue]
    tags: tuple[str, ...]
    image: str | None = None
    environment: dict[str, JsonValue] = field(default_factory=dict)
    schedules: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"

    @property
    def queue(self) -> str:
        return f"{self.flow}-{self.name}"

    @property
    def entrypoint(self) -> str:
        return f"flows.{self.flow}.{self.flow}"

    def fields(self) -> dict[str, JsonValue]:
        """All that is written to the server, as a tree."""
        job: dict[str, JsonValue] = {"env": {**ENVIRONMENT, **self.environment}}
        return {
            "pool": self.pool,
            "queue": self.queue,
            "entrypoint": self.entrypoint,
            "description": self.description,
            "tags": [*sorted((TAG, HEARTBEAT_TAG, *self.tags))],
            "parameters": self.parameters,
            "job_variables": {**job, "image": self.image} if self.image else job,
            "schedules": self.schedules,
        }


def want_pools(options: Options) -> dict[str, int | None]:
    """Pools by name, and how many runs each takes at a time; None: as many as its workers."""
    pools: dict[str, int | None] = {options.data_pool: None}
    if options.training_pool != options.data_pool:
        pools[options.training_pool] = options.trainings or TRAININGS
    return pools


def want_limits(options: Options) -> dict[str, int]:
    """Limits of tags, for all pools and machines together."""
    return {limit_name(DOWNLOAD): DOWNLOADS, limit_name(GPU): TRAININGS, **said_limits(options)}


def said_limits(options: Options) -> dict[str, int]:
    """Those of the limits that this command named: they count also where there is another limit already."""
    said = {limit_name(DOWNLOAD): options.downloads, limit_name(GPU): options.trainings}
    return {name: number for name, number in said.items() if number is not None}


def trainer_of(recipe_name: str) -> str:
    """The name of the deployment that `pretrain` hands over to. No recipe has a name with a dot."""
    return f"{recipe_name}.training"


def training_flow(recipe: Recipe) -> str:
    """The flow that trains a recipe by schedule: `refresh` if it begins with a version that moves, else `pretrain`."""
    return REFRESH if aliases_of(recipe) else "pretrain"


def want_deployments(recipe: Recipe, options: Options) -> tuple[Deployment, ...]:
    """The deployments of a recipe. With two pools `pretrain` runs in that of the data, and hands training over."""
    name, data, training = recipe.name, options.data_pool, options.training_pool
    hand_over = data != training
    trainer = trainer_of(name)
    make = partial(_deployment, options=options)
    weekly = _schedule(WEEKLY, options.weekly, options.timezone)
    there: dict[str, JsonValue] = {"training": f"stage/{trainer}" if hand_over else None}
    enough: dict[str, JsonValue] = {"refresh_after_hours": options.refresh_after_hours}
    has_loop = training_flow(recipe) == REFRESH
    found = [
        make("prepare", name, data, f"Corpora and shards of {name}: what is new is added.", "data",
             parameters=enough if options.refresh_after_hours else None,
             schedules=_schedule(NIGHTLY, options.nightly, options.timezone)),
        make("pretrain", name, data, f"All of {name}, to registered models. It continues what was stopped.", "training",
             parameters=there, schedules={} if has_loop else weekly),
        *([make(REFRESH, name, data, f"The next refresh of {name}, from its champion, or what is left of the open one.",
                "training", parameters=there, schedules=weekly)] if has_loop else []),
        make("stage", name, data, f"One stage of {name}, alone.", "rerun", parameters={"kind": "shards"}),
        make("evaluate", name, training, f"Fast metrics and the suite of {name}, of the models that there are.",
             "evaluation"),
    ]  # fmt: skip
    if hand_over:
        text = f"What `pretrain/{name}` hands over: the stages of {name} that need a GPU."
        found.append(make("stage", trainer, training, text, "training", parameters={"kind": "pretrain"}))
    return tuple(found)


def _deployment(  # noqa: PLR0913, PLR0917 - the fields of a deployment
    flow: str,
    name: str,
    pool: str,
    description: str,
    tag: str,
    parameters: dict[str, JsonValue] | None = None,
    schedules: dict[str, JsonValue] | None = None,
    *,
    options: Options,
) -> Deployment:
    runtime: JsonValue = options.runtime.model_dump(mode="json", exclude_defaults=True)
    common: dict[str, JsonValue] = {"recipe": options.recipe, "store": str(options.store), "runtime": runtime}
    return Deployment(
        flow=flow,
        name=name,
        pool=pool,
        description=description,
        parameters={**common, **(parameters or {})},
        tags=(tag,),
        image=options.image,
        environment=dict(options.environment),
        schedules=schedules or {},
    )


def _schedule(slug: str, cron: str | None, timezone: str) -> dict[str, JsonValue]:
    return {slug: {"cron": cron, "timezone": timezone}} if cron else {}
