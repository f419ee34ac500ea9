"""Two versions side by side: figures, settings, lineage, and which figures were measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.registry.connection import Registry, translate_registry_errors
from tasks.registry.gate import find_difference
from tasks.registry.lineage import with_lineage
from tasks.registry.lookup import looking
from tasks.registry.reference import find_version
from tasks.registry.versions import TAG_OF, Version, params_of, with_metrics
from wavlm.pipeline.store import Store


@dataclass(frozen=True)
class Row:
    """One figure of both versions; None where one has none."""

    name: str
    first: float | None
    second: float | None
    note: str  # why the two are no comparison; empty if nothing speaks against it

    @property
    def change(self) -> float | None:
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class Difference:
    """Something that the two versions do not share, by its name."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Comparison:
    """What is equal in both is left out of settings and lineage."""

    first: Version
    second: Version
    metrics: tuple[Row, ...]
    settings: tuple[Difference, ...]
    lineage: tuple[Difference, ...]


def compare(store: Store, first: str, second: str) -> Comparison:
    """Compare the versions that two references mean, of one registered model or of two."""
    with looking(store, first) as registry, translate_registry_errors(registry.uri):
        old, new = (_read(registry, reference) for reference in (first, second))
        params = params_of(registry, old.run_id), params_of(registry, new.run_id)
    return Comparison(
        first=old,
        second=new,
        metrics=tuple(_row(name, old, new) for name in sorted(old.metrics.keys() | new.metrics.keys())),
        settings=_differences(*params),
        lineage=_differences(old.lineage, new.lineage),
    )


def _read(registry: Registry, reference: str) -> Version:
    return with_lineage(registry, with_metrics(registry, find_version(registry, reference), is_shown=True))


def _row(name: str, old: Version, new: Version) -> Row:
    values = old.metrics.get(name), new.metrics.get(name)
    unlike = find_difference(TAG_OF[name], new, old) if name in TAG_OF and None not in values else None
    return Row(name, *values, note=f"no comparison: {unlike}" if unlike else "")


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name, "") != new.get(name, "")
    )
