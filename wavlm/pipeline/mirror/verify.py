"""Compare a mirror with its entries: what they name is there, has its size, and, if it is read, its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.mirror.contents import NamedObject, objects_of
from wavlm.pipeline.mirror.entry import list_keys, read_entry
from wavlm.pipeline.mirror.transfer import transfer_all
from wavlm.storage.mirror.mirror import Mirror


@dataclass(frozen=True)
class MirrorState:
    """What was found: how much is named by entries, and a line per damage."""

    num_artifacts: int
    num_objects: int
    num_bytes: int
    damages: tuple[str, ...]


def verify_mirror(
    mirror: Mirror,
    is_wanted: Callable[[str], bool] = bool,
    progress: Progress = no_progress,
    *,
    deep: bool = False,
) -> MirrorState:
    """Compare what a mirror holds with what its entries name. `deep`: read all of it.

    is_wanted: of an artifact, by `kind/name-key`. An entry that cannot be read is always looked at.
    Sizes come from one listing, which is made after the entries were read: an entry is written behind its objects.
    Raises what `Mirror` raises.
    """
    named: dict[str, NamedObject] = {}
    damages: list[str] = []
    num_artifacts = 0
    for kind, key in list_keys(mirror):
        try:
            entry = read_entry(mirror, kind, key)
            if entry is None or not is_wanted(str(entry)):
                continue
            num_artifacts += 1
            named.update((item.key, item) for item in objects_of(entry, mirror))
        except BadDataError as error:
            damages.append(f"{kind}/{key}: {error}")
    sizes = dict(mirror.list("objects"))
    there = [item for item in named.values() if sizes.get(item.key) == item.file.bytes]
    damages += [_explain(mirror, item, _say_size(sizes, item)) for item in named.values() if item not in there]
    if deep:
        damages += _read_all(there, mirror, progress)
    total = sum(item.file.bytes for item in named.values())
    return MirrorState(num_artifacts, len(named), total, tuple(damages))


def _read_all(items: Iterable[NamedObject], mirror: Mirror, progress: Progress) -> list[str]:
    chosen, damages = list(items), []

    def read(item: NamedObject) -> int:
        if not mirror.is_whole(item.key, item.file.sha256, item.file.bytes):
            damages.append(_explain(mirror, item, "other bytes"))
        return item.file.bytes

    transfer_all(read, chosen, sum(item.file.bytes for item in chosen), progress)
    return sorted(damages)


def _say_size(sizes: Mapping[str, int], item: NamedObject) -> str:
    return f"{sizes[item.key]} bytes" if item.key in sizes else "no object"


def _explain(mirror: Mirror, item: NamedObject, found: str) -> str:
    return f"{item.name}: found {found}, expected {item.file.bytes} bytes; at {mirror.address}/{item.key}"
