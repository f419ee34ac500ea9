"""The inventory of a store: complete artifacts, and unfinished ones with the process that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import KINDS
from wavlm.pipeline.fit import find_broken
from wavlm.pipeline.garbage.sizes import sizes_of
from wavlm.pipeline.mirror.places import FETCHES
from wavlm.pipeline.record import read_head, read_size
from wavlm.pipeline.siblings import complete_in
from wavlm.pipeline.store import Store
from wavlm.storage.holders import find_owner


@dataclass(frozen=True)
class Item:
    """One complete artifact."""

    folder: str
    num_files: int
    size: str
    took: str
    made: str


def list_complete(store: Store) -> Iterator[Item]:
    """All complete artifacts whose records can be read, by kind in pipeline order."""
    for folder in store.folders():
        try:
            record = read_head(folder)
            num_files, num_bytes = read_size(folder)
        except BadDataError:
            continue  # `list_broken` names it
        made = datetime.fromtimestamp(record.finished_unix, UTC).astimezone()
        yield Item(
            f"{folder.parent.name}/{folder.name}",
            num_files,
            size_text(num_bytes),
            time_text(record.seconds),
            f"{made:%Y-%m-%d %H:%M}",
        )


def list_broken(store: Store) -> Iterator[str]:
    """What is wrong with the records and seals that cannot be trusted: a line for each (RECORD_BROKEN)."""
    for folder in store.folders():
        if error := find_broken(folder):
            yield f"{folder.parent.name}/{folder.name}: {error}"


def list_under_way(store: Store) -> Iterator[str]:
    """Unfinished artifacts, and whether somebody works on them."""
    for partial in sorted(store.root.glob("*/.*.partial")):
        name = partial.name.removeprefix(".").removesuffix(".partial")
        holder = find_owner(store.root / "locks" / f"{partial.parent.name}-{name.rpartition('-')[2]}.lock")
        state = f"being made by {holder}" if holder else "begun; the next run continues it"
        yield f"{partial.parent.name}/{name}: {state}"
    for fetch in sorted((store.root / FETCHES).glob("*")):
        holder = find_owner(store.root / "locks" / f"{fetch.name}.lock")
        state = f"being fetched by {holder}" if holder else "begun to be fetched; the next fetch continues it"
        yield f"{fetch.name}: {state}"


@dataclass(frozen=True)
class Total:
    """What one place of a store holds."""

    place: str
    num_items: int
    num_bytes: int


def list_totals(store: Store) -> Iterator[Total]:
    """Every place of a store: each kind, what is unfinished, and the rest. Together they are all files of the store.

    A file that several generations share counts once, for the first that has it.
    """
    places: dict[str, list[Path]] = {}
    for kind in KINDS:
        if complete := complete_in(store.root / kind):
            places[kind] = complete
    folders = [store.root / kind for kind in KINDS]
    if others := [path for folder in folders for path in set(folder.glob("*")) - set(places.get(folder.name, ()))]:
        places["unfinished"] = others
    rest = sorted(path for path in store.root.glob("*") if path.name not in KINDS)
    sizes = iter(sizes_of([*chain.from_iterable(places.values()), *rest]))
    for name, paths in places.items():
        yield Total(name, len(paths), sum(islice(sizes, len(paths))))
    for place, size in zip(rest, sizes, strict=True):
        yield Total(place.name, len(list(place.glob("*"))) if place.is_dir() else 1, size)


def size_text(num_bytes: float) -> str:
    """A size as people read it: powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def time_text(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
