"""Attention with the gated bias, forward and backward, dropout 0.1, Base's 12 heads of 64.

Ours against scaled_dot_product_attention with the gated bias written out as an additive mask,
against transformers' whole layer (projections on both sides), and on a GPU against flash attention
without any bias, which is what a kernel could reach at best. The peers are given the bias of every
pair (F, F), which their networks make once for all layers; gating it is theirs to do. On a CPU
fp32 and little audio; on a GPU bf16 and as much audio as 13 utterances of 15 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.harness import Claim, Figure, Timing, compare, find_missing, number, require_same
from benchmarks.workload import BASE
from wavlm.nn.attention import PositionBias, default_attention
from wavlm.nn.encoder import GatedAttention

DROPOUT = 0.1
HEADS, SIZE = BASE.num_heads, BASE.width // BASE.num_heads
NUM_ROWS = {"cpu": {250: 3, 750: 1, 1500: 1}, "cuda": {250: 39, 750: 13, 1500: 6}}
ROUNDS = {"cpu": 2, "cuda": 20}
SDPA, LAYER, FLASH = (
    "SDPA with the materialised bias",
    "transformers WavLMAttention",
    "flash SDPA without any bias",
)
LAYER_MODULE = "transformers.models.wavlm.modeling_wavlm"
CLAIMS = tuple(
    claim
    for frames in NUM_ROWS["cpu"]
    for claim in (
        Claim(f"attention.speedup_vs_sdpa_bias.T{frames}", "x faster", SDPA, cuda=">= 3"),
        Claim(
            f"attention.speedup_vs_sdpa_bf16_bias.T{frames}",
            "x faster",
            f"{SDPA}, gated in bf16",
            devices=("cuda",),
        ),
        Claim(f"attention.speedup_vs_transformers_layer.T{frames}", "x faster", LAYER),
        Claim(
            f"attention.time_vs_flash.T{frames}",
            "x the time",
            FLASH,
            cuda="<= 1.5",
            devices=("cuda",),
        ),
    )
)


@dataclass(frozen=True)
class Inputs:
    """Leaves that want gradients; the bias stays in fp32 as in the network."""

    heads: tuple[Tensor, Tensor, Tensor]  # queries, keys, values (B, H, F, d)
    gate: Tensor  # (B, H, F)
    table: Tensor  # (H, 2F - 1)

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        return *self.heads, self.gate, self.table


def main(device: str) -> Iterator[Figure]:
    claims = {claim.name: claim for claim in CLAIMS}
    no_layer = find_missing(LAYER_MODULE)
    for frames, rows in NUM_ROWS[device].items():
        for what, value, note in _kernels(rows, frames, device):
            yield claims[f"attention.{what}.T{frames}"].figure(value, device, note)
        layer = claims[f"attention.speedup_vs_transformers_layer.T{frames}"]
        if no_layer is None:
            yield layer.figure(_speedup_of_layer(rows, frames, device), device)
        else:
            yield layer.skip(device, no_layer)


def _kernels(rows: int, frames: int, device: str) -> Iterator[tuple[str, float, str]]:
    """Ratios of times of attention alone: what, value, note."""
    inputs = _inputs(rows, frames, device)
    _require_same(inputs, 1e-4 if device == "cpu" else 3e-2)
    attend = default_attention()
    bias = PositionBias(inputs.gate, inputs.table)
    wide = _band_biases(inputs.table.detach()).requires_grad_()
    forwards: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: attend(inputs.heads, bias, None, DROPOUT),
        "sdpa": lambda: _sdpa(inputs, wide, DROPOUT),
    }
    if device == "cuda":
        forwards["bf16"] = lambda: _sdpa(inputs, wide.to(torch.bfloat16), DROPOUT)
        forwards["flash"] = lambda: _flash(inputs)
    leaves = (*inputs.leaves, wide)
    steps = {name: _with_backward(forward, leaves) for name, forward in forwards.items()}
    found = compare(steps, device, rounds=ROUNDS[device], warmup=1 if device == "cpu" else 5)
    ours = found["ours"].median
    note = f"ours {number(1e3 * ours)} ms for {rows} x {frames} frames"
    yield "speedup_vs_sdpa_bias", found["sdpa"].median / ours, note
    if device == "cuda":
        yield "speedup_vs_sdpa_bf16_bias", found["bf16"].median / ours, ""
        yield "time_vs_flash", ours / found["flash"].median, ""


def _speedup_of_layer(rows: int, frames: int, device: str) -> float:
    """Our layer against theirs, which is given the (B H, F, F) bias that its network keeps."""
    ours, theirs = _layers(device)
    x = torch.randn(rows, frames, BASE.width, device=device, requires_grad=True)
    table = torch.randn(HEADS, 2 * frames - 1, device=device, requires_grad=True)
    wide = _band_biases(table.detach()).repeat(rows, 1, 1).requires_grad_()  # (B H, F, F)

    def our_forward() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            output: Tensor = ours(x, table, None)
        return output

    def their_forward() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            output: Tensor = theirs(x, position_bias=wide)[0]
        return output

    for layer in (ours, theirs):
        layer.eval()
    tolerance = 1e-4 if device == "cpu" else 3e-2
    require_same("layer", our_forward().float(), their_forward().float(), tolerance)
    for layer in (ours, theirs):
        layer.train()
    leaves = (x, table, wide, *ours.parameters(), *theirs.parameters())
    steps = {
        "ours": _with_backward(our_forward, leaves),
        "theirs": _with_backward(their_forward, leaves),
    }
    found: dict[str, Timing] = compare(steps, device, rounds=ROUNDS[device])
    return found["theirs"].median / found["ours"].median


def _inputs(rows: int, frames: int, device: str) -> Inputs:
    torch.manual_seed(0)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    shape = (rows, HEADS, frames, SIZE)
    query, key, value = (torch.randn(shape, device=device, dtype=dtype).requires_grad_() for _ in range(3))
    gate = (2 * torch.rand(shape[:3], device=device)).requires_grad_()
    table = torch.randn(HEADS, 2 * frames - 1, device=device).requires_grad_()
    return Inputs((query, key, value), gate, table)


def _band_biases(table: Tensor) -> Tensor:
    """(H, 2F - 1) -> (H, F, F): the bias of each pair."""
    frames = (table.shape[1] + 1) // 2
    frame = torch.arange(frames, device=table.device)
    return table[:, frames - 1 + frame[None, :] - frame[:, None]]


def _sdpa(inputs: Inputs, wide: Tensor, dropout: float) -> Tensor:
    """The bias of each pair (H, F, F), gated in its own dtype: an additive mask (B, H, F, F)."""
    query, key, value = inputs.heads
    bias = inputs.gate.to(wide.dtype)[..., None] * wide
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout)


def _flash(inputs: Inputs) -> Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(*inputs.heads, dropout_p=DROPOUT)


def _require_same(inputs: Inputs, tolerance: float) -> None:
    """Without dropout, output and the gradients of all five inputs."""
    bias = PositionBias(inputs.gate, inputs.table)
    ours = default_attention()(inputs.heads, bias, None, 0.0)
    theirs = _sdpa(inputs, _band_biases(inputs.table), 0.0)
    require_same("attention", ours.float(), theirs.float(), tolerance)
    towards = torch.randn_like(ours)
    first, second = (torch.autograd.grad(x, inputs.leaves, towards) for x in (ours, theirs))
    for name, mine, other in zip(("q", "k", "v", "gate", "table"), first, second, strict=True):
        require_same(f"gradient of {name}", mine.float(), other.float(), 10 * tolerance)


def _layers(device: str) -> tuple[GatedAttention, nn.Module]:
    """Both with the same weights."""
    from transformers.models.wavlm.modeling_wavlm import WavLMAttention

    torch.manual_seed(0)
    ours = GatedAttention(BASE, default_attention())
    theirs: nn.Module = WavLMAttention(BASE.width, HEADS, dropout=DROPOUT, has_relative_position_bias=False)
    weights: dict[str, Tensor] = {"gru_rel_pos_const": ours.gate_scale}
    for kind in ("weight", "bias"):
        pieces = getattr(ours.qkv, kind).chunk(3)
        for part, piece in zip("qkv", pieces, strict=True):
            weights[f"{part}_proj.{kind}"] = piece
        weights[f"out_proj.{kind}"] = getattr(ours.out, kind)
        weights[f"gru_rel_pos_linear.{kind}"] = getattr(ours.gate, kind)
    theirs.load_state_dict(weights, strict=True)
    return ours.to(device), theirs.to(device)


def _with_backward(forward: Callable[[], Tensor], leaves: Sequence[Tensor]) -> Callable[[], None]:
    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        output = forward()
        output.backward(torch.ones_like(output))  # type: ignore[no-untyped-call]

    return step
