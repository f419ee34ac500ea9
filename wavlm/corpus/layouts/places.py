"""Where the audio is that manifests name: below the folder of the corpus, or outside of it.

A manifest may name files anywhere on the machine. Files below the folder that the tree found are known by their path in
it. All others are outside. They count in the folder's content under the name that the manifest gives them, which
begins with `/` or `./`, as no path in the folder does.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.tree import Tree


class Places:
    """Finds the files that the rows of manifests name.

    The tree gets the names of all files outside of the folder, also of those that are not there.
    """

    def __init__(self, tree: Tree, audio_root: str) -> None:
        self._tree = tree
        tree.is_listed = True
        self._base = base_of(tree.root, audio_root)
        self._roots = {f"{os.path.abspath(tree.root)}/", f"{os.path.realpath(tree.root)}/"}  # noqa: PTH100
        self._known: dict[str, PurePosixPath | None] = {}

    def find(self, audio: str, folder: PurePosixPath) -> PurePosixPath | None:
        """The path of a recording that a manifest in `folder` names; None if there is no such file.

        A relative path starts at the base if there is one, otherwise at the folder of the manifest.
        """
        name = audio if self._base or audio.startswith("/") else f"{folder}/{audio}"
        if name not in self._known:
            spellings = dict.fromkeys((name, name.strip(), name.strip().replace("\\", "/")))
            found = (self._find(spelling) for spelling in spellings)
            self._known[name] = next((path for path in found if path is not None), None)
        return self._known[name]

    def _find(self, name: str) -> PurePosixPath | None:
        where, outside = (self._base or self._tree.root) / name, outside_name(name)
        inner = None if self._base else self._tree.spelled(self._below(name))
        if inner is not None and (".." not in name or _is_same(self._tree.root / inner, where)):
            return inner if self._tree.may_read(inner) else None
        is_there = is_file(where)
        is_closed = is_there and not os.access(where, os.R_OK)
        self._tree.outside[outside] = "unreadable" if is_closed else None
        return PurePosixPath(name) if is_there and not is_closed else None

    def _below(self, name: str) -> str:
        """The name as a path below the folder, or as it is."""
        name = posixpath.normpath(name)
        for root in self._roots:
            name = name.removeprefix(root)
        return name


def base_of(root: Path, audio_root: str) -> Path | None:
    """Where relative paths start that a spec gives a root; None if it gives none."""
    return root / os.path.expanduser(audio_root) if audio_root else None  # noqa: PTH111 - that of Path raises


def outside_name(path: str) -> str:
    """The name under which a file outside of the folder counts in its content."""
    plain = str(PurePosixPath(path))
    return plain if plain.startswith("/") else f"./{plain}"


def is_outside(name: str) -> bool:
    """Whether a name of the content is that of a file outside of the folder."""
    return name.startswith(("/", "./"))


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file. Behind a link, `..` is not the folder that the path shows."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def is_file(path: Path | str) -> bool:
    """Whether there is a file, or a link to one."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - making a Path takes longer than this
    except (OSError, ValueError):
        return False
