"""GPUs of a cost table: how fast each multiplies matrices, by precision, as its vendor's data sheet says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
ASSUMED_UTILISATION = 0.35


@dataclass(frozen=True)
class Gpu:
    """A card. `tflops`: dense matrix rates in TFLOP/s, of the precisions that it has. fp32 is fp32, and not TF32."""

    name: str
    tflops: Mapping[Precision, float]

    def hours(self, petaflops: float, precision: Precision) -> float | None:
        """The hours of so many operations at the assumed utilisation; None if it does not have the precision."""
        rate = self.tflops.get(precision)
        return petaflops * 1e3 / (rate * ASSUMED_UTILISATION) / 3600 if rate else None


GPUS = (
    Gpu("V100", {"fp32": 15.7, "fp16": 125.0}),  # SXM2
    Gpu("A100", {"fp32": 19.5, "bf16": 312.0, "fp16": 312.0}),  # SXM4
    Gpu("H100", {"fp32": 67.0, "bf16": 989.0, "fp16": 989.0}),  # SXM5
)
