"""The same training with other seeds: how far figures move that differ by chance alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from pydantic import BaseModel, ConfigDict

from tests.learn.material import prepare
from tests.learn.measure import LEARNERS, Campaign, figure_named
from tests.learn.rows import LearnRow
from tests.learn.training import key_of, spec_of, train
from wavlm.storage.files import write_text

SEEDS_FILE = "seeds.jsonl"


class SeedRun(BaseModel):
    """A training with another seed than that of its spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    seed: int
    value: float
    cpu_s: float
    key: str  # of spec, data and model
    of: str  # the key with the seed of the spec
    commit: str


def measure_seed(campaign: Campaign, system: str, seed: int) -> SeedRun:
    """Train a small system with a seed, and score it."""
    learner = LEARNERS[system]
    spec, data = spec_of(system, learner.material), prepare(learner.material, campaign.work)
    model = None if spec.baseline else campaign.model
    seeded = spec.model_copy(update={"seed": spec.seed + seed})
    key = key_of(seeded, data, model)
    trained = train(seeded, data, model, campaign.trainings / f"{system}-{key}", campaign.commit)
    return SeedRun(
        system=system,
        seed=spec.seed + seed,
        value=figure_named(trained.facts.results.figures, learner.figure).value,
        cpu_s=trained.cpu_s,
        key=key,
        of=key_of(spec, data, model),
        commit=trained.commit,
    )


def read_runs(work: Path) -> list[SeedRun]:
    """The runs so far; of one system and seed the last one counts."""
    path = work / SEEDS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    found = {(run.system, run.seed): run for run in (SeedRun.model_validate_json(line) for line in lines)}
    return list(found.values())


def add_run(work: Path, run: SeedRun) -> None:
    """Keep a run, whole or not at all."""
    kept = [it for it in read_runs(work) if (it.system, it.seed) != (run.system, run.seed)]
    write_text(work / SEEDS_FILE, "".join(f"{it.model_dump_json()}\n" for it in [*kept, run]))


def seed_table(rows: Sequence[LearnRow], runs: Sequence[SeedRun]) -> list[str]:
    """The lines of a table: mean and standard deviation over the seeds of each system that has several."""
    lines = []
    for row in rows:
        others = sorted((it.seed, it.value) for it in runs if (it.system, it.of) == (row.system, row.key))
        values = [row.trained.value, *(value for _, value in others)]
        if len(values) > 1:
            scale, digits = (100, 1) if row.unit == "%" else (1, 2)
            each = ", ".join(f"{scale * value:.{digits}f}" for value in values)
            spread = f"{scale * mean(values):.{digits}f} | {scale * stdev(values):.{digits}f}"
            lines.append(f"| `{row.system}` | {row.figure}, {row.unit} | {each} | {spread} |")
    head = ["", "| system | figure | each seed | mean | standard deviation |", "|---|---|---|---|---|"]
    return [*head, *lines] if lines else []
