"""Push a complete artifact: its files first, its record behind them, its entry last. Nothing is sent twice."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.mirror.bulk import NOT_PUSHED, is_cached
from wavlm.pipeline.mirror.collection import wait_for_collection
from wavlm.pipeline.mirror.entry import MirrorEntry, differs, entry_key, read_entry, read_left_out, write_entry
from wavlm.pipeline.mirror.places import Place
from wavlm.pipeline.mirror.transfer import THREADS, transfer_all
from wavlm.pipeline.record import Seal, read_record, read_seal
from wavlm.pipeline.sealing import HASHING_THREADS
from wavlm.storage.cache import object_key
from wavlm.storage.drops import read_dropped
from wavlm.storage.files import sha256_of
from wavlm.storage.ledger import LEDGER_FILE, SealedFile
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.pieces import hash_in_pieces, read_pieces, write_pieces
from wavlm.storage.seals import PIECES_FILE, RECORD_FILE, SEAL_FILE, broken
from wavlm.storage.use_locks import hold_in_use

YOUNG_SECONDS = 6 * 3600.0  # the least grace of house-keeping is a day


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    was_there: bool
    num_sent: int = 0
    bytes_sent: int = 0


def push(folder: Path, mirror: Mirror, progress: Progress = no_progress, *, check: bool = False) -> Pushed:
    """Push a complete artifact's folder. `check`: read all objects that are there, and send again what is damaged.

    A file that is not here is left out of the mirror only if it is not there, either.
    Of two that push the same artifact with different content, one wins, and the other raises MIRROR_DIFFERS. What
    house-keeping deleted meanwhile, because nobody named it yet, is sent again (`wavlm.pipeline.mirror.collection`).
    Raises BadDataError (CHECKSUM, MIRROR_DAMAGED, MIRROR_DIFFERS, RECORD_BROKEN), and what `Mirror` raises.
    """
    place = Place.of(folder)
    with hold_in_use([place.use_lock]):
        record, seal = read_record(folder), read_seal(folder)
        if seal is None:
            raise broken(folder / SEAL_FILE, "an earlier version made it without a seal")
        lacking = read_dropped(folder).union(name for name in record.files if NOT_PUSHED.fullmatch(name))
        there, left_out = read_entry(mirror, place.kind, place.key), lacking
        if there:
            if there.content != seal.content:
                raise differs(mirror, there, seal.content)
            left_there = read_left_out(mirror, there)
            if not check and left_there <= lacking:
                return Pushed(was_there=True)
            left_out = lacking & left_there  # what is not here stays in the mirror
        _check_inputs(mirror, seal, place)
        files = {name: file for name, file in record.files.items() if name not in lacking}
        kept = {name: file for name, file in record.files.items() if name in lacking - left_out}
        wanted = _Wanted(place, seal, files, kept, tuple(sorted(left_out)), there if kept else None)
        sender = _Sender(mirror, folder, check=check)
        entry = _send_all(sender, wanted, progress)
        if not write_entry(mirror, entry, replace=there is not None):
            _accept_other(mirror, entry)
        wait_for_collection(mirror, entry_key(entry.kind, entry.key))
        if sender.has_lost():
            _send_all(sender, wanted, progress)
        return Pushed(was_there=False, num_sent=sender.num_sent, bytes_sent=sender.bytes_sent)


@dataclass(frozen=True)
class _Wanted:
    """What is to be in the mirror of an artifact."""

    place: Place
    seal: Seal
    files: Mapping[str, SealedFile]  # that are here
    kept: Mapping[str, SealedFile]  # that are not, and are in the mirror
    left_out: tuple[str, ...]  # that are in neither
    there: MirrorEntry | None  # which names what is kept


def _send_all(sender: _Sender, wanted: _Wanted, progress: Progress) -> MirrorEntry:
    """Send what is not there, the record behind the files. Returns the entry."""
    place, files = wanted.place, wanted.files
    transfer_all(sender.send, files.items(), _num_bytes(files.values()), progress)
    if sender.check:
        transfer_all(sender.require_whole, wanted.kept.items(), _num_bytes(wanted.kept.values()), progress)
    about = sender.send_about()
    return MirrorEntry(
        kind=place.kind,
        name=place.name,
        key=place.key,
        content=wanted.seal.content,
        inputs=wanted.seal.inputs,
        record=about[RECORD_FILE],
        seal=about[SEAL_FILE],
        ledger=about.get(LEDGER_FILE),
        pieces=sender.send_pieces([name for name in files if is_cached(place.kind, name)], wanted.there),
        left_out=sender.send_list(wanted.left_out),
        num_bytes=_num_bytes((*files.values(), *wanted.kept.values())),
        pushed_unix=time.time(),
    )


class _Sender:
    """Sends files as objects, and counts them."""

    def __init__(self, mirror: Mirror, folder: Path, *, check: bool) -> None:
        self._mirror, self._folder, self.check = mirror, folder, check
        self._old: dict[str, int] = {}  # objects that were there before, and their bytes
        self._new: dict[str, tuple[int, float]] = {}  # bytes of all others, and when they were sent
        self.num_sent = self.bytes_sent = 0

    def send(self, item: tuple[str, SealedFile]) -> int:
        """Send a file unless it is there; returns its size."""
        name, file = item
        if self._put(self._folder / name, file):
            self.num_sent += 1
            self.bytes_sent += file.bytes
        return file.bytes

    def require_whole(self, item: tuple[str, SealedFile]) -> int:
        """Raise BadDataError (MIRROR_DAMAGED) unless the mirror has a file that is not here; returns its size."""
        name, file = item
        key = object_key(file.sha256)
        if not self._mirror.is_whole(key, file.sha256, file.bytes):
            raise BadDataError(
                "MIRROR_DAMAGED",
                f"{name} is not what was pushed, and it is not here; at {self._mirror.address}/{key}; push it again "
                "from a store that has it: wavlm push --check",
            )
        return file.bytes

    def send_about(self) -> dict[str, SealedFile]:
        """Send record, seal and ledger, which every artifact has in its folder; what they are, by name."""
        paths = (self._folder / name for name in (SEAL_FILE, LEDGER_FILE, RECORD_FILE))
        about = {path.name: _describe(path) for path in paths if path.is_file()}
        for item in about.items():
            self.send(item)
        return about

    def has_lost(self) -> bool:
        """Whether an object is gone that house-keeping may have taken for old: all others are too young."""
        now = time.monotonic()
        aged = {key: size for key, (size, sent_at) in self._new.items() if now - sent_at > YOUNG_SECONDS}
        expected = {**self._old, **aged}
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(self._mirror.size_of, expected)
            return any(size != one for size, one in zip(expected.values(), found, strict=True))

    def send_list(self, names: Sequence[str]) -> SealedFile | None:
        """Send a list of names; None if there are none."""
        if not names:
            return None
        blob = json.dumps(names).encode()
        file = SealedFile(sha256=hashlib.sha256(blob).hexdigest(), bytes=len(blob))
        self._old[object_key(file.sha256)] = file.bytes
        self._mirror.replace(object_key(file.sha256), blob)
        return file

    def send_pieces(self, names: list[str], there: MirrorEntry | None) -> SealedFile | None:
        """Send the digests of parts of these files, beside those that an entry has; None if there are none."""
        before = there.pieces if there else None
        if not names:
            return before
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / PIECES_FILE
            if before:
                self._mirror.fetch(object_key(before.sha256), path, before.sha256, before.bytes)
            known = read_pieces(path.parent)
            with ThreadPoolExecutor(HASHING_THREADS) as pool:
                digests = pool.map(hash_in_pieces, [self._folder / name for name in names])
                write_pieces(path, {**known, **dict(zip(names, digests, strict=True))})
            file = _describe(path)
            self._put(path, file)
        return file

    def _put(self, path: Path, file: SealedFile) -> bool:
        """Send a file unless it is there; whether it was sent."""
        key = object_key(file.sha256)
        size = self._mirror.size_of(key)
        if size is not None:
            self._old[key] = file.bytes
        if size == file.bytes and (not self.check or self._mirror.is_whole(key, file.sha256, file.bytes)):
            return False
        self._mirror.send(path, key, file.sha256, file.bytes)
        self._new[key] = file.bytes, time.monotonic()
        return True


def _check_inputs(mirror: Mirror, seal: Seal, place: Place) -> None:
    """Raise BadDataError (MIRROR_DIFFERS) if the mirror has an input with other content than this was made from."""
    for kind, key in place.inputs():
        found = read_entry(mirror, kind, key)
        made_from = seal.inputs.get(key)
        if found and made_from and found.content != made_from:
            raise BadDataError(
                "MIRROR_DIFFERS",
                f"{place} was made from another {found} ({made_from[:12]}) than the mirror has ({found.content[:12]}); "
                f"at {mirror.address}; fetch that one, and make this again",
            )


def _accept_other(mirror: Mirror, entry: MirrorEntry) -> None:
    """Somebody else was first. That is in order if it is the same artifact."""
    there = read_entry(mirror, entry.kind, entry.key)
    if there and there.content != entry.content:
        raise differs(mirror, there, entry.content)


def _num_bytes(files: Iterable[SealedFile]) -> int:
    return sum(file.bytes for file in files)


def _describe(path: Path) -> SealedFile:
    return SealedFile(sha256=sha256_of(path), bytes=path.stat().st_size)
