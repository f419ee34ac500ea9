"""Open some of the containers of a folder (tars, Parquet files) in a scratch folder, to look at what is in them."""

from __future__ import annotations

from pathlib import Path

from wavlm.corpus.containers import open_container
from wavlm.corpus.layouts import CONTAINERS, containers_of
from wavlm.corpus.layouts.tree import Tree
from wavlm.rng import rng_for
from wavlm.specs import Layout

ENOUGH_BYTES = 300_000_000  # of containers, each of which is opened whole


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
        open_container(layout, root / paths[number], paths[number], scratch)
    return scratch, max(1.0, sum(sizes) / max(opened, 1))
