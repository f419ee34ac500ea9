"""The models that iterations start from: there, the ones that the recipe names, and of the network that it trains.

The trainer compares networks in the same way: `wavlm.nn.start`. What is new here is a remembered sha256.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavlm.errors import BadDataError, CodedError
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE
from wavlm.nn.start import check_start
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.check.digests import cached_sha256
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.specs import StartSpec


def check_starts(wanted: Wanted) -> Iterator[Finding]:
    """Each model to start from is there, has the sha256 of the recipe and its network; its head is kept or fresh."""
    for model in wanted.of(Model):
        if model.start is not None:
            yield from _check_start(model, model.start, wanted)


def _check_start(model: Model, start: StartSpec, wanted: Wanted) -> Iterator[Finding]:
    folder = Path(start.folder).absolute()
    missing = [name for name in (WEIGHTS_FILE, NETWORK_FILE) if not (folder / name).is_file()]
    if missing:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"iteration {model.iteration} starts from a model that is not there: no {' and no '.join(missing)}; "
            f"at {folder}; correct start.folder, or make the folder with `wavlm import`",
        )
        return
    yield from _check_bytes(folder, start, wanted)
    if model.codebook is None:
        return
    try:
        head = check_start(start, model.network, model.codebook.spec.num_clusters)
    except CodedError as error:
        yield error
        return
    yield Remark(f"iteration {model.iteration} starts from {folder}, {head}")


def _check_bytes(folder: Path, start: StartSpec, wanted: Wanted) -> Iterator[Finding]:
    found = cached_sha256(folder / WEIGHTS_FILE, wanted.store.root)
    if found != start.sha256:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"found sha256 {found}, the recipe expects {start.sha256}; at {folder / WEIGHTS_FILE}; "
            "correct start.sha256, or get the model that the recipe means",
        )
