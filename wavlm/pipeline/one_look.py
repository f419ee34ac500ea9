"""Look at each folder once: what a command found out about a folder's files is good for all that it asks at once.

A command resolves its recipe several times before it makes anything: to see whether all is there, to check, to plan.
Each time every file of every folder would be looked at. Inside a block of `one_look` only the first time does so.

What reads files into a part looks for itself, outside of any block: there it matters what a folder holds now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # their libraries are imported where there is a folder
    from wavlm.corpus.contents import FolderContents
    from wavlm.corpus.digests import Cache


class _Look(NamedTuple):
    """What one look at a folder has found."""

    contents: FolderContents | None  # None: files of it have to be hashed first
    digests: tuple[int, int] | None  # the state of the cache: whoever hashes the files replaces it


_looks: ContextVar[dict[Cache, _Look] | None] = ContextVar("looks", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """While the block runs each folder is looked at once. A block inside another one shares what that one has found."""
    token = _looks.set({}) if _looks.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _looks.reset(token)


def look(cache: Cache, find: Callable[[], FolderContents | None]) -> FolderContents | None:
    """What `find` says of the folder with this cache of digests. Inside a block: what it said first.

    It is asked again if files had to be hashed then, and somebody has done that since.
    """
    looks = _looks.get()
    if looks is None:
        return find()
    known = looks.get(cache)
    if known is None or (known.contents is None and known.digests != _state_of(cache)):
        before = _state_of(cache)
        looks[cache] = known = _Look(_frozen(find()), before)
    return known.contents


def recall(cache: Cache) -> FolderContents | None:
    """The content that the block goes by; None if it does not know it, and outside of a block."""
    known = (_looks.get() or {}).get(cache)
    return known.contents if known else None


def note(cache: Cache, contents: FolderContents) -> None:
    """Let the rest of the block go by this content: its files have just been hashed."""
    if (looks := _looks.get()) is not None:
        looks[cache] = _Look(_frozen(contents), _state_of(cache))


def _frozen(contents: FolderContents | None) -> FolderContents | None:
    """The same, so that nobody changes what others go by."""
    if contents is None:
        return None
    return replace(contents, states=MappingProxyType(contents.states), sha256s=MappingProxyType(contents.sha256s))


def _state_of(cache: Cache) -> tuple[int, int] | None:
    try:
        found = cache.path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
