"""The models that iterations start from: there, the ones that the recipe names, and of the network that it trains.

The trainer compares networks in the same way: `wavlm.nn.start`. What is new here is a remembered sha256.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavlm.errors import BadDataError, CodedError, UsageError
from wavlm.nn.description import NETWORK_FILE, WEIGHTS_FILE
from wavlm.nn.start import differences
from wavlm.pipeline.artifacts import ImportedModel, Model
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.digests import cached_sha256
from wavlm.pipeline.imported import describe_source, find_network
from wavlm.pipeline.start import expect_head, weights_of
from wavlm.specs import StartSpec


def check_starts(wanted: Wanted) -> Iterator[Finding]:
    """Each model to start from is there, has the sha256 of the recipe and its network; its head is kept or fresh."""
    for model in wanted.of(Model):
        if isinstance(model.start, ImportedModel) and not wanted.store.is_complete(model.start):
            yield from _check_network(model, model.start, wanted)
        elif model.start is not None:
            yield from _check_start(model, model.start, wanted)


def _check_network(model: Model, start: ImportedModel, wanted: Wanted) -> Iterator[Finding]:
    """What can be known of a model that is not in the store yet."""
    try:
        network = find_network(start, wanted.store)
    except CodedError:
        return  # `check_models` says so
    if network is None:
        yield Remark(f"iteration {model.iteration}: the network of {start.called} is compared when it is there")
        return
    # The size of the head follows from its weights, which are not read here.
    if differing := differences(network, model.network):
        yield UsageError(
            "START_NETWORK",
            f"the model {start.called} is of another network than that of iteration {model.iteration}: "
            f"{', '.join(differing)}; at {describe_source(start)}; give the recipe's network the values of this model, "
            "or start from another one",
        )


def _check_start(model: Model, start: StartSpec | ImportedModel, wanted: Wanted) -> Iterator[Finding]:
    folder = weights_of(start, wanted.store).folder
    missing = [name for name in (WEIGHTS_FILE, NETWORK_FILE) if not (folder / name).is_file()]
    if missing:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"iteration {model.iteration} starts from a model that is not there: no {' and no '.join(missing)}; "
            f"at {folder}; correct start.folder, or make the folder with `wavlm import`",
        )
        return
    if isinstance(start, StartSpec):
        yield from _check_bytes(folder, start, wanted)
    try:
        head = expect_head(model, wanted.store)
    except CodedError as error:
        yield error
        return
    if head:
        yield Remark(f"iteration {model.iteration} starts from {folder}, {head}")


def _check_bytes(folder: Path, start: StartSpec, wanted: Wanted) -> Iterator[Finding]:
    found = cached_sha256(folder / WEIGHTS_FILE, wanted.store.root)
    if found != start.sha256:
        yield BadDataError(
            "MODEL_UNUSABLE",
            f"found sha256 {found}, the recipe expects {start.sha256}; at {folder / WEIGHTS_FILE}; "
            "correct start.sha256, or get the model that the recipe means",
        )
