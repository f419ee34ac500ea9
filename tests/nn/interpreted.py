"""Run in a process of its own, under Triton's interpreter: attention's kernels on the CPU.

    TRITON_INTERPRET=1 python -m tests.nn.interpreted cases.pt results.pt

Kernels are interpreted for the rest of a process that once set the flag, so tests do not set it.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from wavlm.nn.attention import flash
from wavlm.nn.attention.tilings import Tile, Tiling


def attend_case(case: dict[str, object]) -> dict[str, Tensor]:
    """Output and gradients of a case, and the words of its dropout."""
    queries, keys, square = case["tiles"]
    found = Tiling(Tile(queries, keys, 4), Tile(square, square, 4))
    flash.tiling = lambda *_: found
    tensors = [case[name].requires_grad_() for name in case["names"]]
    query = tensors[0]
    bias = tensors[3:] if len(tensors) > 3 else [None, None]
    seed = torch.tensor([case["seed"]])
    out, _ = flash.flash_attention(*tensors[:3], *bias, case["num_valid"], seed, case["dropout"])
    gradients = torch.autograd.grad((out * case["d_out"]).sum(), tensors)
    results = {f"d_{name}": d for name, d in zip(case["names"], gradients, strict=True)}
    if case["dropout"]:
        steps = flash.num_kept_levels(case["dropout"])
        results["words"] = flash.draw_kept(query, steps, case["seed"])
    results["out"] = out.detach()
    return results


def check_promises() -> None:
    """What compilers rely on: schema, shapes and strides told in advance, gradients registered."""
    torch.manual_seed(0)
    products = torch.randn(1, 33, 3, 1, 16).permute(2, 0, 3, 1, 4)  # views of one product
    heads = [x.detach().requires_grad_() for x in products]
    gate, table = torch.randn(1, 1, 33, requires_grad=True), torch.randn(1, 65, requires_grad=True)
    flash.tiling = lambda *_: Tiling(Tile(32, 32, 4), Tile(32, 32, 4))
    inputs = (*heads, gate, table, torch.tensor([20]), torch.tensor([3]), 0.2)
    torch.library.opcheck(flash.flash_attention, inputs)


if __name__ == "__main__":
    cases = torch.load(sys.argv[1], weights_only=True)
    torch.save({name: attend_case(case) for name, case in cases.items()}, sys.argv[2])
    check_promises()
