"""AdamW, and one optimizer step that is scaled, clipped, or not taken at all, decided on the device.

Whether the loss and the gradients are finite is known on the device first. If the host waited for it before
it launched the step, the device would then wait for the host to launch the step and the next forward. That
takes about as long as a small update. So the optimizer's kernels get the factor of the gradients and the
decision as tensors, and the host reads the same numbers while the kernels run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from wavlm.engine.sharding import gather_whole
from wavlm.specs import TrainSpec


def adamw(network: nn.Module, train: TrainSpec) -> torch.optim.AdamW:
    """AdamW with decoupled weight decay on all parameters, biases and norms included, as in fairseq."""
    return torch.optim.AdamW(
        network.parameters(),
        lr=train.peak_lr,
        betas=train.adam_betas,
        eps=train.adam_eps,
        weight_decay=train.weight_decay,
        fused=True,
    )


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients as one vector, () in fp64, on their device."""
    return gather_whole(torch.nn.utils.get_total_norm(gradients)).double()


def clip_factor(norm: Tensor, clip_norm: float | None) -> Tensor:
    """The factor () that brings gradients of this norm down to the norm `clip_norm`; at most 1, and 1 for None."""
    if clip_norm is None:
        return torch.ones_like(norm)
    return (clip_norm / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch's clip_grad_norm_


def take_step(optimizer: torch.optim.Optimizer, rate: float, factor: Tensor, is_finite: Tensor, *, keep: bool) -> None:
    """Do one step with the gradients times `factor` (), then clear the gradients.

    Groups of parameters may have a `factor`, by which their rate is multiplied.
    is_finite () bool: if False, no bit of the weights and the moments changes.
    keep: keep the memory of the gradients and set them to zero, instead of freeing it.
    """
    for parameters in optimizer.param_groups:
        parameters["lr"] = rate * parameters.get("factor", 1.0)
    # torch's loss scaler passes the same two attributes to fused optimizers, which divide by grad_scale.
    _begin_momentum(optimizer)
    scaling = {"grad_scale": factor.reciprocal(), "found_inf": is_finite.logical_not()}
    for name, value in scaling.items():
        setattr(optimizer, name, value.float())
    optimizer.step()
    optimizer.zero_grad(set_to_none=not keep)


def _begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give SGD the momentum of 0 that its first step begins with.

    torch would allocate it in that step and leave its bits as they are where the step is not taken.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            if parameter.grad is not None and state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter.grad)


def start_copy(values: Tensor) -> Callable[[], list[float]]:
    """Start to copy numbers to the host. Calling the result waits for them, but not for later work of the device."""
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
