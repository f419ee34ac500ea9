"""Open some of the containers of a folder (tars, Parquet files) in a scratch folder, to look at what is in them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts import CONTAINERS, containers_of
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.unpack import Limits, explain_damage, tar_members, write_members
from wavlm.corpus.unpack.members import Member
from wavlm.rng import rng_for
from wavlm.specs import Layout

ENOUGH_BYTES = 300_000_000  # of containers, each of which is opened whole
LIMITS = Limits()


def open_containers(layout: Layout, root: Path, scratch: Path) -> tuple[Path, float]:
    """The folder that the layout reads, and how much larger the whole is than what is in there.

    For layouts of files that is the folder itself. Containers are drawn by a seed until there is enough to look at.
    Raises BadDataError for containers that are damaged, and CannotWriteError if the scratch folder is full.
    """
    if type(layout) not in CONTAINERS:
        return root, 1.0
    paths = containers_of(layout, Tree(root))
    sizes = [(root / path).stat().st_size for path in paths]
    opened = 0
    for number in rng_for(0, "init", len(paths)).permutation(len(paths)):
        if opened and opened + sizes[number] > ENOUGH_BYTES:
            continue
        opened += sizes[number]
        with explain_damage(root / paths[number]):
            write_members(_members(layout, root, paths[number]), scratch, LIMITS)
    return scratch, max(1.0, sum(sizes) / max(opened, 1))


def _members(layout: Layout, root: Path, path: PurePosixPath) -> Iterator[Member]:
    """What is in a container, with names below the container's own."""
    unpack = CONTAINERS[type(layout)].unpack
    if unpack is None:
        kind = "tar.gz" if path.suffix.lower() in (".gz", ".tgz") else "tar"
        for member in tar_members(root / path, kind, LIMITS):
            yield Member(f"{path}/{member.name}", member.size_bytes, member.read, member.is_link)
        return
    for name, blob in unpack(layout, root / path):
        yield Member(f"{path}/{name}", len(blob), io.BytesIO(blob).read)
