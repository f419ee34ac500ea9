"""The content of a folder of files: what a corpus that is read in place is identified by, wherever the folder lies.

The digest is a sha256 over the sorted files below the folder: relative path, size and sha256 of each. All regular files
count, also texts and tables, but no hidden ones. Links are followed as the layouts follow them.

Hashing reads every byte, so the digests of files are kept in a cache: a Parquet file with one row per file. A file is
hashed again if its size, inode, time of change (mtime) or time of status change (ctime) differs. A file system that
changes bytes without changing any of these deceives the cache; the shards stage, which hashes what it decodes, then
refuses the file.

A manifest may name files outside of the folder (`wavlm.corpus.layouts.places`). They count, too, under the names that
the manifest gives them. Which they are follows from the files in the folder, so the cache knows it as long as these are
the same.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from wavlm.corpus.digests import (
    UNREADABLE_CACHE,
    Cache,
    FileEntry,
    FileState,
    digest_of,
    read_cache,
    state_of,
    stream_cache,
    write_cache,
)
from wavlm.corpus.hashing import THREADS, UNREADABLE, changed, hash_files
from wavlm.corpus.layouts import CONTAINERS, read_layout
from wavlm.corpus.layouts.places import base_of, is_outside, outside_name
from wavlm.corpus.layouts.walk import Kind, walk
from wavlm.errors import BadDataError, UsageError
from wavlm.execution.fence import STALL_SECONDS, FencePool
from wavlm.execution.progress import Progress, no_progress
from wavlm.specs import CorpusSpec
from wavlm.specs.manifests import ListedLayout
from wavlm.storage.locks import hold_lock

logger = logging.getLogger(__name__)

# What the processes import: also what the corpus stage needs, because their server is started once.
FENCED_MODULES = ("wavlm.storage.files", "wavlm.corpus.audio.stream")
SAVE_SECONDS = 60  # what a killed run loses at most


def place_of(folder: Path, base: Path | None, name: str) -> Path:
    """Where a file of a content lies. `base`: where the names of files outside of the folder start."""
    return (base or folder if is_outside(name) else folder) / name


@dataclass(frozen=True)
class FolderContents:
    """The files of a folder: state and sha256 by relative path, in the order of the paths' bytes."""

    root: Path
    states: Mapping[str, FileState]
    sha256s: Mapping[str, str]
    base: Path | None = None  # where relative paths of audio start, if the layout says it

    @property
    def entries(self) -> Mapping[str, FileEntry]:
        """Every file, by path. One that cannot be looked at has no size."""
        return _FolderEntries(self.states, self.sha256s)

    @cached_property
    def digest(self) -> str:
        """The sha256, in hex, that identifies the content."""
        return digest_of(self.entries)

    @property
    def num_bytes(self) -> int:
        """The sizes of all files together."""
        return sum(entry.size for entry in self.entries.values())

    def sha256_of(self, path: str) -> str:
        """The digest of a file. Raises BadDataError (FILE_CHANGED) if it is not as it was when the folder was read."""
        where = place_of(self.root, self.base, path)
        if path not in self.states or state_of(where) != self.states[path]:
            raise changed(where, "it was written while the folder was read")
        return self.sha256s[path]

    def sha256_of_audio(self, path: str) -> str:
        """The digest of a file that a recording names. Raises as `sha256_of`."""
        return self.sha256_of(path if self.base is None and path in self.states else outside_name(path))


class _FolderEntries(Mapping[str, FileEntry]):
    """Files by path, made when they are asked for."""

    def __init__(self, states: Mapping[str, FileState], sha256s: Mapping[str, str]) -> None:
        self._states, self._sha256s = states, sha256s

    def __getitem__(self, path: str) -> FileEntry:
        sha256 = self._sha256s[path]
        return FileEntry(self._states[path].size if path in self._states else 0, sha256)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sha256s)

    def __len__(self) -> int:
        return len(self._sha256s)


@dataclass(frozen=True)
class Outside:
    """The files outside of a folder that its manifests name."""

    base: Path | None  # where relative paths start; None: at their manifests
    names: Callable[[], Iterable[str]]  # reads the manifests

    @classmethod
    def of(cls, spec: CorpusSpec) -> Outside | None:
        """Those of a corpus; None if its layout names none."""
        layout, folder = spec.layout, find_folder(spec)
        if not isinstance(layout, ListedLayout):
            return None
        return cls(base_of(folder, layout.audio_root), lambda: read_layout(layout, folder).outside)


def expand_home(path: str) -> str:
    """A path with `~` replaced; one that names a user who does not exist stays."""
    return os.path.expanduser(path)  # noqa: PTH111 - that of Path raises RuntimeError


def find_folder(spec: CorpusSpec) -> Path:
    """The folder that a corpus is read from in place. Raises UsageError (FOLDER_MISSING) if it is not there."""
    folder = Path(expand_home(spec.folder.path if spec.folder else "")).absolute()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(
            "FOLDER_MISSING",
            f"the folder of {spec.name} {what}; at {folder}; put the corpus there (see {spec.homepage}) or correct the "
            "path in the corpus spec, where a relative path starts at the folder of the spec's file",
        )
    return folder


def audio_root(spec: CorpusSpec, corpus_dir: Path) -> Path:
    """Where the paths of a corpus' manifest start: at its folder or its `audio_root`, or at what was unpacked."""
    if spec.folder is None or type(spec.layout) in CONTAINERS:
        return corpus_dir
    folder = find_folder(spec)
    base = base_of(folder, spec.layout.audio_root) if isinstance(spec.layout, ListedLayout) else None
    return base or folder


def check_pin(spec: CorpusSpec, digest: str) -> None:
    """Raise BadDataError (FOLDER_CHANGED) if a spec names another content of its folder than there is."""
    if spec.folder and spec.folder.content not in (None, digest):
        raise BadDataError(
            "FOLDER_CHANGED",
            f"the folder of {spec.name} has the content {digest}, expected {spec.folder.content}; at "
            f"{spec.folder.path}; run again, or correct or remove `content` in the corpus spec if it stands there",
        )


def find_contents(folder: Path, cache: Cache, outside: Outside | None = None) -> FolderContents | None:
    """The content of a folder if the cache knows all its files as they are. Opens no file of it."""
    return _find(_scan(folder), cache, outside)


def _find(scan: _Scan, cache: Cache, outside: Outside | None) -> FolderContents | None:
    if outside is None:
        return _find_inside(scan, cache)
    folder, states, sha256s = scan.folder, dict(scan.states), dict(scan.marks)
    known = read_cache(cache.path)
    base = outside.base
    named = {name for name in known if is_outside(name)}
    if known.keys() - states.keys() - named:
        return None  # a file is gone: it may have been a manifest
    states.update((name, state_of(place_of(folder, base, name))) for name in named)
    for path, state in states.items():
        found = known.get(path)
        if found is None or not _is_valid(found, state, place_of(folder, base, path)):
            return None
        sha256s[path] = found[1]
    return FolderContents(folder, states, sha256s, base)


def _find_inside(scan: _Scan, cache: Cache) -> FolderContents | None:
    """`_find` for a folder whose layout names nothing outside of it. What the cache knows is never in memory."""
    sha256s = dict(scan.marks)
    try:
        for path, state, sha256 in stream_cache(cache.path):
            if path not in scan.states:
                continue
            if not _is_valid((state, sha256), scan.states[path], scan.folder / path):
                return None
            sha256s[path] = sha256
    except UNREADABLE_CACHE:
        return None
    is_whole = len(sha256s) == len(scan.states) + len(scan.marks)
    return FolderContents(scan.folder, scan.states, sha256s) if is_whole else None


def read_contents(
    folder: Path,
    cache: Cache | None,
    progress: Progress = no_progress,
    stall_seconds: float = STALL_SECONDS,
    outside: Outside | None = None,
) -> FolderContents:
    """The content of a folder. Hashes the files that the cache does not know, in processes that can be killed.

    `outside`: what its manifests name outside of it. Raises what reading these raises, and
    BadDataError: FILE_CHANGED if a file changes meanwhile, FOLDER_UNREADABLE if the disk fails;
    ServiceMissingError (STORAGE_STALLED) if it gives no data for `stall_seconds`; and LockedError if another process
    reads the same folder for the first time.
    """
    scan = _scan(folder)
    if cache is None:
        with FencePool(THREADS, stall_seconds, FENCED_MODULES) as fences:
            return _hash_all(scan, None, fences, progress, outside)
    if (found := _find(scan, cache, outside)) is not None:
        return found
    cache.path.parent.mkdir(parents=True, exist_ok=True)
    lock = hold_lock(cache.lock, f"the list of the files of {folder}")
    with lock, FencePool(THREADS, stall_seconds, FENCED_MODULES) as fences:
        return _hash_all(scan, cache, fences, progress, outside)


class _Scan(NamedTuple):
    """What one look at a folder has found."""

    folder: Path
    states: Mapping[str, FileState]
    marks: Mapping[str, str]  # of each folder or file that cannot be looked at


def _scan(folder: Path) -> _Scan:
    states: dict[str, FileState] = {}
    marks: dict[str, str] = {}
    for item in walk(folder):
        if item.is_hidden:
            continue
        if item.kind is Kind.FILE:
            try:
                states[item.path] = FileState.of(item.real)
            except OSError:  # removed or closed since the walk
                marks[item.path] = UNREADABLE
        elif item.kind in (Kind.FOLDER_UNREADABLE, Kind.FILE_UNREADABLE):
            marks[item.path] = UNREADABLE
    return _Scan(folder, states, marks)


def _is_valid(known: tuple[FileState, str], state: FileState, path: Path) -> bool:
    """Whether a remembered digest holds. That nobody could read a file holds for who cannot read it."""
    return known[0] == state and (known[1] != UNREADABLE or not os.access(path, os.R_OK))


def _hash_all(
    scan: _Scan, cache: Cache | None, fences: FencePool, progress: Progress, outside: Outside | None
) -> FolderContents:
    known = read_cache(cache.path) if cache else {}
    folder, states = scan.folder, dict(scan.states)
    base = outside.base if outside else None
    if outside:
        states.update((name, state_of(place_of(folder, base, name))) for name in outside.names())
    done = {
        path: known[path]
        for path, state in states.items()
        if path in known and _is_valid(known[path], state, place_of(folder, base, path))
    }
    todo = [path for path in states if path not in done]
    total = sum(states[path].size for path in todo)
    logger.info("%s: %d files to hash, %.1f GB", folder, len(todo), total / 1e9)
    read, saved = 0, time.monotonic()
    for path, digest in hash_files(lambda path: place_of(folder, base, path), todo, states, fences):
        done[path] = (states[path], digest)
        read += states[path].size
        progress(read, max(total, 1))
        if cache is not None and time.monotonic() - saved > SAVE_SECONDS:
            write_cache(cache.path, folder, done)
            saved = time.monotonic()
    if cache is not None:
        write_cache(cache.path, folder, done)
    return FolderContents(folder, states, {**scan.marks, **{path: digest for path, (_, digest) in done.items()}}, base)
