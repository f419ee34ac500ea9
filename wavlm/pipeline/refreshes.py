"""Refreshes of a recipe (`refreshes/<recipe>/0001.json` in the store): which versions its models were at that time.

An alias such as `champion` moves. So a run asks the registry once, writes the answer here, and reads it from then on:
a run that goes on after a stop does not start from another model, and planning needs no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from wavlm.specs import ModelVersion
from wavlm.storage.facts import Facts, read_facts
from wavlm.storage.files import write_json

REFRESHES = "refreshes"


class ResolvedModel(Facts):
    """The version that a reference meant when the registry was asked."""

    asked: str  # the reference, NAME@ALIAS or NAME:VERSION
    model: str
    version: str
    sha256: str  # of the version's `model.safetensors`
    place: str = ""  # the registry


class Refresh(Facts):
    """One number of a recipe."""

    number: int = Field(ge=1)
    models: Mapping[str, ResolvedModel] = {}  # by their names in the recipe


def read_refresh(root: Path, recipe: str, number: int | None = None) -> Refresh | None:
    """A refresh of a recipe; the newest if no number is given. None if there is none.

    root: the store's. recipe: its name. Raises BadDataError (RECORD_BROKEN).
    """
    there = sorted((root / REFRESHES / recipe).glob("[0-9]*.json"), key=lambda path: int(path.stem))
    chosen = [path for path in there if number in (None, int(path.stem))]
    return read_facts(chosen[-1], Refresh) if chosen else None


def write_refresh(root: Path, recipe: str, refresh: Refresh) -> Path:
    """Write a refresh; returns its path."""
    path = root / REFRESHES / recipe / f"{refresh.number:04d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, refresh.model_dump(mode="json"))
    return path


def find_version(source: ModelVersion, found: ResolvedModel | None) -> ModelVersion | None:
    """The source with version and sha256, if they were asked for by the same reference; None if they were not."""
    if found is None or found.asked != source.reference:
        return None
    if source.sha256 not in (None, found.sha256) or source.version not in (None, found.version):
        return None
    return source.model_copy(update={"version": found.version, "sha256": found.sha256})
