"""Named numbers in one fp64 vector: ranks sum them in one exchange, and the host reads them in one copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from wavlm.engine.optimizer import start_copy
from wavlm.engine.ranks import Ranks


@dataclass(frozen=True)
class NamedNumbers:
    """A vector on a device whose entries are read by name."""

    names: tuple[str, ...]
    vector: Tensor  # (names,) fp64

    @classmethod
    def pack(cls, numbers: Mapping[str, Tensor | float], device: torch.device) -> NamedNumbers:
        """Tensors () and numbers of the host, in the order of the mapping. Nothing waits for the device."""
        return cls(tuple(numbers), torch.stack([_to_scalar(value, device) for value in numbers.values()]))

    @classmethod
    def zeros(cls, names: Iterable[str], device: torch.device) -> NamedNumbers:
        """The number 0 under each name."""
        ordered = tuple(names)
        return cls(ordered, torch.zeros(len(ordered), dtype=torch.float64, device=device))

    @classmethod
    def sum(cls, terms: Sequence[NamedNumbers]) -> NamedNumbers:
        """The sum of one term or more, name by name. Raises ValueError if their names differ."""
        (names,) = {term.names for term in terms}
        return cls(names, torch.stack([term.vector for term in terms]).sum(0))

    def add(self, other: NamedNumbers) -> None:
        """Add numbers of the same names to these, in place. Raises ValueError if the names differ."""
        if other.names != self.names:
            raise ValueError(f"cannot add {', '.join(other.names)} to {', '.join(self.names)}")
        self.vector.add_(other.vector)

    def __getitem__(self, name: str) -> Tensor:
        """One number, a tensor () on the device."""
        return self.vector[self.names.index(name)]

    def joined_with(self, other: NamedNumbers) -> NamedNumbers:
        """The numbers of both, these first."""
        return NamedNumbers(self.names + other.names, torch.cat((self.vector, other.vector)))

    def over_ranks(self, ranks: Ranks) -> NamedNumbers:
        """The sums over all ranks, the same on each rank."""
        return replace(self, vector=ranks.sum(self.vector))

    def start_read(self) -> Callable[[], dict[str, float]]:
        """Start the copy to the host. Calling the result waits for the copy and returns numbers by name."""
        return partial(_read, self.names, start_copy(self.vector))


def _read(names: tuple[str, ...], read: Callable[[], list[float]]) -> dict[str, float]:
    return dict(zip(names, read(), strict=True))


def _to_scalar(value: Tensor | float, device: torch.device) -> Tensor:
    """A number as a tensor () in fp64. A number of the host is written by a kernel, which needs no copy."""
    if isinstance(value, Tensor):
        return value.double()
    return torch.full((), value, dtype=torch.float64, device=device)
