"""The files below the folder of a corpus: readers of layouts take recordings from it, and it accounts for the rest."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import overload

from wavlm.corpus.layouts.account import CAUSES, Cause, FilesAccount, TableAccount, left_out, most_suffixes
from wavlm.corpus.layouts.globs import compile_glob, fixed_folder
from wavlm.corpus.layouts.names import normal
from wavlm.corpus.layouts.sounds import AUDIO_SUFFIXES, BARE_SUFFIXES, OTHER_SUFFIXES, begins_as_audio, suffix_of
from wavlm.corpus.layouts.walk import Found, Kind, walk
from wavlm.storage.encoding import printable, require_utf8

LOST_AND_FOUND = "lost+found"  # of a file system whose root is the folder: only the system can read it
RESOURCE_FORK = "._"  # macOS puts `._a.flac` beside `a.flac` in archives; it holds no audio


class Paths(Sequence[PurePosixPath]):
    """Paths that are made when they are asked for: a PurePosixPath takes 500 bytes, its text 90."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, at: int) -> PurePosixPath: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[PurePosixPath]: ...
    def __getitem__(self, at: int | slice) -> PurePosixPath | Sequence[PurePosixPath]:
        return Paths(self._texts[at]) if isinstance(at, slice) else PurePosixPath(self._texts[at])

    def __iter__(self) -> Iterator[PurePosixPath]:
        return map(PurePosixPath, self._texts)


class Tree:
    """What a folder holds, found once. A reader asks for audio by glob, and notes what it leaves out.

    `tables` collects the accounts of the tables that a reader joins, `outside` the files outside of the folder that
    manifests name, each with the cause why it is not used, if there is one.
    """

    def __init__(self, root: Path, elsewhere: Mapping[str, int] | None = None) -> None:
        """`elsewhere`: files that belong below the folder and lie in archives, by path, with their sizes.

        Raises UsageError (FILE_ENCODING) if names are not read as UTF-8.
        """
        require_utf8()
        self._elsewhere = elsewhere or {}
        self.root = root
        self.tables: list[TableAccount] = []
        self.outside: dict[str, Cause | None] = {}
        self.is_listed = False  # True: manifests say what is read; other audio is `unlisted`
        self._real_root = os.path.realpath(root)
        self._found = self._find()
        self._causes: dict[str, Cause] = {}  # of files that matched and are no recordings all the same
        self._matched: set[str] = set()
        self._scopes: list[re.Pattern[str]] = []
        self._folders: list[str] = []
        self._sounds: dict[str, bool] = {}
        self._spelled: dict[str, str] = {}

    def audio(self, pattern: str, scope: str = "") -> Sequence[PurePosixPath]:
        """Audio files that a glob takes, in the order of their paths, without hidden ones. Each real file once.

        `scope`: a glob of the files that the reader is there for. Audio in it that `pattern` does not take counts as
        left out. Not given: everything below the folder that `pattern` names without special characters.
        """
        self._scopes.append(compile_glob(scope or f"{fixed_folder(pattern)}**"))
        self._folders.append(fixed_folder(scope or pattern))
        glob = compile_glob(pattern)
        matching = [
            item
            for item in self._found
            if _is_open(item) and glob.fullmatch(normal(item.path)) and self._is_sound(item)
        ]
        self._matched.update(item.path for item in matching)
        for item in self._doubles(matching):
            self._causes[item.path] = "double"
        root = f"{os.fspath(self.root)}/"
        for item in matching:
            if item.path in self._causes or item.path in self._elsewhere:
                continue
            if not os.access(root + item.path, os.R_OK):
                self._causes[item.path] = "unreadable"
        return Paths([item.path for item in matching if item.path not in self._causes])

    def _doubles(self, matching: Sequence[Found]) -> Iterator[Found]:
        """Those that lead to the same file as another one. Of these the one without links stays, or the first."""
        linked = [item for item in matching if self._is_linked(item)]
        if not linked:
            return
        known = {item.real for item in matching if not self._is_linked(item)}
        for item in linked:
            if item.real in known:
                yield item
            known.add(item.real)

    def files(self, pattern: str) -> list[PurePosixPath]:
        """Files of any kind that a glob takes, in the order of their paths, without hidden ones."""
        glob = compile_glob(pattern)
        return [
            PurePosixPath(item.path) for item in self._found if _is_open(item) and glob.fullmatch(normal(item.path))
        ]

    def spelled(self, name: str) -> PurePosixPath | None:
        """The file below the folder that a manifest names, whatever it is; None if there is none."""
        if not self._spelled:
            files = [item.path for item in self._found if _is_open(item)]
            self._spelled = {normal(path): path for path in files} | {path: path for path in files}
        path = self._spelled.get(name) or self._spelled.get(normal(name))
        return None if path is None else PurePosixPath(path)

    def num_bytes(self, path: PurePosixPath) -> int:
        """The size of a file below the folder; 0 for one that cannot be looked at."""
        try:
            if (size := self._elsewhere.get(str(path))) is not None:
                return size
            return (self.root / path).stat().st_size
        except OSError:
            return 0

    def may_read(self, path: PurePosixPath) -> bool:
        """Whether a file below the folder can be opened. One that cannot is noted as `unreadable`."""
        if str(path) in self._elsewhere or os.access(self.root / path, os.R_OK):
            return True
        self._matched.add(str(path))
        self._causes[str(path)] = "unreadable"
        return False

    def leave(self, paths: Iterable[PurePosixPath], cause: Cause) -> None:
        """Note why files that `audio` returned are no recordings. Without a note they are `excluded`."""
        self._causes.update((str(path), cause) for path in paths)

    def account(self, used: Iterable[str]) -> FilesAccount:
        """What became of every file, where `used` are the paths of the recordings."""
        # Imported here, because the facts of a corpus are read without numpy.
        from wavlm.corpus.layouts.paths import match_paths

        taken, is_taken = match_paths(used, (item.path for item in self._found))
        by_cause: dict[Cause, list[str]] = defaultdict(list)
        elsewhere = taken - sum(is_taken)
        for name, cause in self.outside.items():
            if cause is not None:
                elsewhere += 1
                by_cause[cause].append(name)
        left = [item for item, is_used in zip(self._found, is_taken, strict=True) if not is_used]
        for item in left:
            by_cause[self._cause(item)].append(f"{item.path}: {item.detail}" if item.detail else item.path)
        suffixes = Counter(printable(suffix_of(item.path)) for item in left)
        return FilesAccount(
            found=len(self._found) + elsewhere,
            used=taken,
            left_out=tuple(left_out(cause, by_cause[cause]) for cause in CAUSES if cause in by_cause),
            suffixes=dict(most_suffixes(suffixes)),
        )

    def _find(self) -> list[Found]:
        """What lies below the folder, and what belongs there."""
        found = walk(self.root)
        if not self._elsewhere:
            return found
        there = {item.path for item in found}
        left = [path for path in self._elsewhere if path not in there]
        root = self._real_root.rstrip("/")
        found += [Found(path, Kind.FILE, f"{root}/{path}".rpartition("/")[0]) for path in left]
        return sorted(found, key=lambda item: item.path)

    def _cause(self, item: Found) -> Cause:
        if item.kind is Kind.FILE:
            return self._cause_of_file(item)
        if item.kind is Kind.LINK_LOOP:
            return "link-loop"
        is_missed = self._is_in_scope(item.path) and not item.is_hidden and _may_be_audio(item)
        return _CAUSES[item.kind] if is_missed else "other"

    def _cause_of_file(self, item: Found) -> Cause:
        if item.path in self._matched:
            return self._causes.get(item.path, "excluded")
        if not any(scope.fullmatch(normal(item.path)) for scope in self._scopes):
            unread: Cause = "unlisted" if self.is_listed else "outside"
            return unread if _is_named_as_audio(item) else "other"
        if not self._is_sound(item):
            return "bare-samples" if suffix_of(item.path) in BARE_SUFFIXES else "other"
        return self._causes.get(item.path, "hidden" if item.is_hidden else "not-matched")

    def _is_in_scope(self, folder: str) -> bool:
        """Whether a folder holds files that a reader is there for, or may hold them."""
        name = "" if folder == "." else normal(folder) + "/"
        return any(name.startswith(scope) or scope.startswith(name) for scope in self._folders)

    def _is_sound(self, item: Found) -> bool:
        """Whether a file is audio. One with an unknown suffix is opened for this, but not a hidden one."""
        if _is_named_as_audio(item):
            return True
        if suffix_of(item.path) in OTHER_SUFFIXES or item.is_hidden:
            return False
        if item.path not in self._sounds:
            try:
                self._sounds[item.path] = begins_as_audio(self.root / item.path)
            except OSError:
                self._sounds[item.path] = True  # it may be
                self._causes[item.path] = "unreadable"
        return self._sounds[item.path]

    def _is_linked(self, item: Found) -> bool:
        return item.real != f"{self._real_root.rstrip('/')}/{item.path}"


def _is_open(item: Found) -> bool:
    return item.kind is Kind.FILE and not item.is_hidden


def _is_named_as_audio(item: Found) -> bool:
    return suffix_of(item.path) in AUDIO_SUFFIXES and not PurePosixPath(item.path).name.startswith(RESOURCE_FORK)


def _may_be_audio(item: Found) -> bool:
    """Whether somebody may miss a folder that cannot be entered, a broken link or a device."""
    if item.kind is Kind.SPECIAL:
        return _is_named_as_audio(item)
    if item.kind is Kind.FOLDER_UNREADABLE:
        return item.path != LOST_AND_FOUND
    return suffix_of(item.path) not in OTHER_SUFFIXES


_CAUSES: dict[Kind, Cause] = {
    Kind.FOLDER_UNREADABLE: "unreadable",
    Kind.FILE_UNREADABLE: "unreadable",
    Kind.LINK_BROKEN: "link-broken",
    Kind.LINK_AGAIN: "link-again",
    Kind.SPECIAL: "special",
}
