"""Objects of a mirror that no entry names: found, and deleted once they are old. Entries are never deleted.

An object without an entry may belong to a push that is under way. So it stays for a grace, by the clock of the store,
and `wavlm.pipeline.mirror.collection` says how pushes and deletions keep out of each other's way.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wavlm.errors import BadDataError, LockedError, ServiceMissingError
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.mirror.collection import Sign, collecting
from wavlm.pipeline.mirror.contents import objects_of
from wavlm.pipeline.mirror.entry import ENTRIES, date_keys, entry_key, read_entry
from wavlm.pipeline.mirror.transfer import transfer_all
from wavlm.storage.mirror.mirror import Mirror

DAY_SECONDS = 86400.0
BATCH = 1000  # objects that are deleted before the entries are looked at again
_OBJECT = re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}")


class StoredObject(NamedTuple):
    """An object as a listing shows it."""

    key: str
    num_bytes: int
    written_unix: float


@dataclass(frozen=True)
class MirrorGarbage:
    """What a mirror holds, and what of it nobody names."""

    num_entries: int
    num_objects: int
    num_bytes: int
    old: tuple[StoredObject, ...]  # may go
    young: tuple[StoredObject, ...]  # perhaps of a push that is under way
    num_strange: int  # objects whose names are not ours: they stay


@dataclass
class _Entries:
    """The entries that have been read, and all objects that they name."""

    mirror: Mirror
    sign: Sign | None = None  # which every listing has to show
    named: set[str] = field(default_factory=set)
    _read: dict[tuple[str, str], float] = field(default_factory=dict)  # when each was written

    def look(self) -> None:
        """Read what is new. Raises BadDataError if one cannot be read: then nobody knows what it names.

        Raises ServiceMissingError (MIRROR_LOST) if the store does not show what is there. A page that asks to log in,
        for one, is taken by clients for the end of a listing.
        """
        listed = self.mirror.list_dated(ENTRIES)
        if self.sign and self.sign.key not in {name for name, *_ in listed}:
            raise self._doubt(self.sign.key, "a listing lacks what was just written")
        for (kind, key), written in date_keys(listed).items():
            if self._read.get((kind, key)) != written:
                self._add(kind, key)
                self._read[kind, key] = written

    def __len__(self) -> int:
        return len(self._read)

    def _add(self, kind: str, key: str) -> None:
        try:
            entry = read_entry(self.mirror, kind, key)
            if entry is None:
                raise self._doubt(entry_key(kind, key), "an entry is listed, and cannot be read")
            self.named.update(item.key for item in objects_of(entry, self.mirror))
        except BadDataError as error:
            error.add_note(
                f"nothing was deleted: what {kind}/{key} names is not known; see all of these: wavlm verify --mirror "
                f"{self.mirror.address}"
            )
            raise

    def _doubt(self, key: str, what: str) -> ServiceMissingError:
        return ServiceMissingError(
            "MIRROR_LOST",
            f"{what}, so nothing is deleted; at {self.mirror.address}/{key}; check what stands between, then run again",
        )


def find_unnamed(mirror: Mirror, grace_days: float, now_unix: float | None = None) -> MirrorGarbage:
    """What no entry names, by the clock of this machine unless another time is given. Changes nothing.

    Raises BadDataError (MIRROR_DAMAGED, MIRROR_LACKS) if an entry cannot be read, and what `Mirror` raises.
    """
    return _find(mirror, _Entries(mirror), grace_days, time.time() if now_unix is None else now_unix)


def delete_unnamed(mirror: Mirror, grace_days: float, progress: Progress = no_progress) -> Sequence[StoredObject]:
    """Delete what no entry names and is older than the grace; returns what was deleted. Raises as `find_unnamed`.

    Raises LockedError (LOCKED) if somebody else does so, or if it takes too long: the next call goes on.
    """
    deleted = list[StoredObject]()
    with collecting(mirror) as sign:
        entries = _Entries(mirror, sign)
        found = _find(mirror, entries, grace_days, sign.written_unix)
        total = sum(item.num_bytes for item in found.old)
        for start in range(0, len(found.old), BATCH):
            entries.look()
            batch = [item for item in found.old[start : start + BATCH] if item.key not in entries.named]
            _delete(mirror, batch, sign)
            deleted += batch
            progress(sum(item.num_bytes for item in deleted), total)
    return deleted


def _find(mirror: Mirror, entries: _Entries, grace_days: float, now_unix: float) -> MirrorGarbage:
    """Objects are listed before entries are read: what is named in between is not taken for garbage."""
    listed = [StoredObject(*item) for item in mirror.list_dated("objects")]
    ours = [item for item in listed if _OBJECT.fullmatch(item.key)]
    entries.look()
    if ours and not len(entries):
        raise BadDataError(
            "MIRROR_DAMAGED",
            f"there are {len(ours)} objects and no entry, so all of them would go; at {mirror.address}; check the "
            "address and what this user may list; a mirror that nobody needs is deleted with other tools",
        )
    unnamed = [item for item in ours if item.key not in entries.named]
    is_old = [now_unix - item.written_unix > grace_days * DAY_SECONDS for item in unnamed]
    return MirrorGarbage(
        num_entries=len(entries),
        num_objects=len(ours),
        num_bytes=sum(item.num_bytes for item in ours),
        old=tuple(item for item, old in zip(unnamed, is_old, strict=True) if old),
        young=tuple(item for item, old in zip(unnamed, is_old, strict=True) if not old),
        num_strange=len(listed) - len(ours),
    )


def _delete(mirror: Mirror, items: Sequence[StoredObject], sign: Sign) -> None:
    def delete(item: StoredObject) -> int:
        if not sign.holds:
            raise LockedError(
                "LOCKED",
                f"deleting took too long, and pushes wait for its end; at {mirror.address}; run the same command "
                "again, which goes on with what is left",
            )
        mirror.delete(item.key)
        return item.num_bytes

    transfer_all(delete, items, 0, no_progress)
