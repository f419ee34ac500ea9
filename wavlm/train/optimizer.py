"""One step of AdamW that is scaled, clipped, or not taken at all, without the host being asked.

Whether a loss or a gradient is finite is known on the device first. If the host waited for it, the
device would wait in turn for the host to launch the step and the next forward, about as long as a
small update takes. So the optimizer's kernels get the factor of the gradients and the decision as
tensors, and the host reads the same numbers while they run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wavlm.train.sharding import gather_whole


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients as one vector, () in fp64, on their device."""
    return gather_whole(torch.nn.utils.get_total_norm(gradients)).double()


def clip_factor(norm: Tensor, clip_norm: float) -> Tensor:
    """What gradients of this norm are multiplied with, so that theirs is `clip_norm` at most."""
    return (clip_norm / (norm + 1e-6)).clamp(max=1.0)  # 1e-6: as torch's clip_grad_norm_


def take_step(optimizer: torch.optim.Optimizer, rate: float, factor: Tensor, is_finite: Tensor, *, keep: bool) -> None:
    """Do one step with gradients times a factor (), unless they are not sound () bool; forget them.

    Not sound: weights and moments stay what they were, to the bit. keep: the memory of gradients
    stays theirs, set to zero.
    """
    for parameters in optimizer.param_groups:
        parameters["lr"] = rate
    # The way in which torch's own loss scaler talks to fused optimizers: they divide by grad_scale.
    scaling = {"grad_scale": factor.reciprocal(), "found_inf": is_finite.logical_not()}
    for name, value in scaling.items():
        setattr(optimizer, name, value.float())
    optimizer.step()
    optimizer.zero_grad(set_to_none=not keep)


def start_copy(values: Tensor) -> Callable[[], list[float]]:
    """Start to copy numbers to the host; what is returned waits for them, not for later work."""
    if values.device.type != "cuda":
        return values.tolist
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrival.record()

    def read() -> list[float]:
        arrival.synchronize()
        numbers: list[float] = host.tolist()
        return numbers

    return read
