"""The catalogue of faults, read and checked: `catalogue.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, Field

PAGE = Path(__file__).with_name("catalogue.yaml")
Tier = Literal["fast", "full"]
Options = dict[str, str | int | list[str]]


class Goal(BaseModel, frozen=True, extra="forbid"):
    """A figure to reach."""

    id: str = Field(pattern=r"^G\d+$")
    points: int = Field(ge=1)
    text: str


class Row(BaseModel, frozen=True, extra="forbid"):
    """One fault in one stage, and what is promised."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    fault: str
    stage: str
    role: str = "parent"
    promise: str
    inject: str  # the module of tests/faults/injectors
    options: Options = {}
    goal: str
    fast: int = 0  # points of the fast tier
    full: int = Field(ge=1)

    def points(self, tier: Tier) -> int:
        """How many points a tier tries, where there are so many."""
        return self.fast if tier == "fast" else self.full


class Group(BaseModel, frozen=True, extra="forbid"):
    """Rows that differ in the stage alone: its name, and how many points the full tier tries there."""

    id: str
    fault: str
    role: str = "parent"
    promise: str
    inject: str
    options: Options = {}
    goal: str
    fast: int = 0
    stages: dict[str, int]

    def rows(self) -> Iterator[Row]:
        """One row for each stage."""
        common = self.model_dump(exclude={"id", "stages", "options"})
        for stage, full in self.stages.items():
            options = {"kind": stage, **self.options}
            yield Row(id=f"{self.id}-{stage}", stage=stage, full=full, options=options, **common)


class FileGroup(BaseModel, frozen=True, extra="forbid"):
    """Rows that differ in the file alone: of each its path, and the stages that read it."""

    id: str
    fault: str
    promise: str
    inject: str
    options: Options = {}
    goal: str
    fast: tuple[str, ...] = ()  # the files of which the fast tier tries a point
    full: int
    files: dict[str, tuple[str, str]]

    def rows(self) -> Iterator[Row]:
        """One row for each file."""
        common = self.model_dump(include={"promise", "inject", "goal", "full"})
        for name, (path, stages) in self.files.items():
            yield Row(
                id=f"{self.id}-{name}", fault=f"{self.fault}: {path}", stage=stages, fast=int(name in self.fast),
                options={"file": path, **self.options}, **common,
            )  # fmt: skip


class Catalogue(BaseModel, frozen=True, extra="forbid"):
    """All goals and rows."""

    goals: tuple[Goal, ...]
    rows: tuple[Row, ...]


def read_catalogue(path: Path = PAGE) -> Catalogue:
    """The catalogue, its groups written out. Raises ValueError for what makes no sense."""
    raw = yaml.safe_load(path.read_text())
    rows = [row for item in raw["faults"] for row in _rows(item)]
    found = Catalogue(goals=raw["goals"], rows=tuple(rows))
    names, goals = [row.id for row in rows], {goal.id for goal in found.goals}
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{path}: rows of one name: {sorted(doubled)}")
    if unknown := {row.goal for row in rows} - goals:
        raise ValueError(f"{path}: goals that are not there: {sorted(unknown)}")
    return found


def _rows(item: dict[str, object]) -> Iterator[Row]:
    if "stages" in item:
        yield from Group.model_validate(item).rows()
    elif "files" in item:
        yield from FileGroup.model_validate(item).rows()
    else:
        yield Row.model_validate(item)
