"""How many bytes autograd keeps between a forward pass and its backward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class SavedTensors:
    """Bytes of each storage that was saved, with the shape that it was first saved in."""

    storages: dict[int, tuple[int, str]] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        return sum(size for size, _ in self.storages.values())

    def by_shape(self) -> Counter[str]:
        """Bytes for each dtype and shape, to see what they are made of."""
        found: Counter[str] = Counter()
        for size, what in self.storages.values():
            found[what] += size
        return found


@contextmanager
def track_saved(*modules: nn.Module) -> Iterator[SavedTensors]:
    """Count what is saved in the block: each storage once, parameters not at all.

    The tensors must live until the block ends, so keep the output that needs them.
    """
    known = {p.untyped_storage().data_ptr() for module in modules for p in module.parameters()}
    found = SavedTensors()

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in known:
            what = f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
            found.storages.setdefault(storage.data_ptr(), (storage.nbytes(), what))
        return x.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        yield found


def count_saved_bytes(forward: Callable[[], Tensor], *modules: nn.Module) -> int:
    """Bytes that the backward pass of `forward()` needs."""
    with track_saved(*modules) as found:
        output = forward()
    assert output.requires_grad  # noqa: S101 - else nothing is saved, and the figure means nothing
    return found.num_bytes
