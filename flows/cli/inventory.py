"""The inventory of a store: complete artifacts, and unfinished ones with the process that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from wavlm.pipeline.record import read_record
from wavlm.pipeline.store import Store
from wavlm.storage.holders import describe_owner, is_alive


@dataclass(frozen=True)
class Item:
    """One complete artifact."""

    folder: str
    num_files: int
    size: str
    took: str
    made: str


def list_complete(store: Store) -> Iterator[Item]:
    """All complete artifacts, by kind in pipeline order."""
    for folder in store.folders():
        record = read_record(folder)
        made = datetime.fromtimestamp(record.finished_unix, UTC).astimezone()
        yield Item(
            f"{folder.parent.name}/{folder.name}",
            len(record.files),
            size_text(sum(file.bytes for file in record.files.values())),
            time_text(record.seconds),
            f"{made:%Y-%m-%d %H:%M}",
        )


def list_under_way(store: Store) -> Iterator[str]:
    """Unfinished artifacts, and whether somebody works on them."""
    holders = {
        note.name.removesuffix(".lock.owner"): describe_owner(note)
        for note in sorted((store.root / "locks").glob("*.owner"))
        if is_alive(note)
    }
    for partial in sorted(store.root.glob("*/.*.partial")):
        name = partial.name.removeprefix(".").removesuffix(".partial")
        holder = holders.get(f"{partial.parent.name}-{name.rpartition('-')[2]}")
        state = f"being made by {holder}" if holder else "begun; the next run continues it"
        yield f"{partial.parent.name}/{name}: {state}"


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
