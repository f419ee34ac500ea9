"""The head as one matrix product, against the cosine head over materialised targets.

750 frames of Base, 400 of them masked, 500 clusters; forward and backward, projection included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.harness import Claim, Figure, compare, number, require_same
from benchmarks.peers import TEMPERATURE, CosineHead
from benchmarks.workload import BASE, NUM_CLUSTERS
from wavlm.nn.head import Head, Predictions

NUM_FRAMES, NUM_MASKED = 750, 400
COSINE = "cosine head over (C + 1, S, 256) targets"
MASKED = Claim("head.speedup_vs_cosine", "x faster", COSINE, cpu=">= 100")
ALL = Claim("head.speedup_vs_cosine_with_unmasked", "x faster", f"{COSINE}, unmasked frames too")
LOSS = Claim("head.loss_difference", "relative", COSINE, cpu="<= 0.000001", cuda="<= 0.000001")
CLAIMS = (MASKED, ALL, LOSS)


def main(device: str) -> Iterator[Figure]:
    ours, theirs = _heads(device)
    frames = torch.randn(NUM_FRAMES, BASE.width, device=device, requires_grad=True)
    labels = torch.randint(NUM_CLUSTERS, (NUM_FRAMES,), device=device)

    def our_loss() -> Tensor:
        predictions: Predictions = ours(frames[:NUM_MASKED], labels[:NUM_MASKED], TEMPERATURE)
        return predictions.losses.sum()

    def their_loss() -> Tensor:
        loss: Tensor = theirs(frames[:NUM_MASKED], labels[:NUM_MASKED])
        return loss

    def both_losses() -> Tensor:
        theirs.logits(frames[NUM_MASKED:], labels[NUM_MASKED:])  # counted, not in the loss
        return their_loss()

    yield LOSS.figure(_difference(our_loss, their_loss, frames), device, "fp32")
    step = _with_backward(our_loss, frames)
    found = compare({"ours": step, "theirs": _with_backward(their_loss, frames)}, device, rounds=2)
    speedup = found["theirs"].median / found["ours"].median
    mine, other = (number(1e3 * found[name].median) for name in ("ours", "theirs"))
    note = f"ours {mine} ms, theirs {other} ms"
    yield MASKED.figure(speedup, device, note)
    both = {"ours": step, "theirs": _with_backward(both_losses, frames)}
    found = compare(both, device, rounds=2, warmup=0)
    speedup = found["theirs"].median / found["ours"].median
    yield ALL.figure(speedup, device, "ours needs no logits of unmasked frames")


def _heads(device: str) -> tuple[Head, CosineHead]:
    torch.manual_seed(0)
    ours = Head(BASE, NUM_CLUSTERS)
    theirs = CosineHead(BASE.width, BASE.projection_width, NUM_CLUSTERS)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours.to(device), theirs.to(device)


def _difference(ours: Callable[[], Tensor], theirs: Callable[[], Tensor], frames: Tensor) -> float:
    """Relative, of the losses; raises if the gradients are not the same."""
    mine, other = ours(), theirs()
    first, second = (torch.autograd.grad(loss, frames)[0] for loss in (mine, other))
    require_same("gradient of the frames", first, second, 1e-4)
    return abs(mine.item() - other.item()) / abs(other.item())


def _with_backward(loss: Callable[[], Tensor], frames: Tensor) -> Callable[[], None]:
    def step() -> None:
        frames.grad = None
        loss().backward()  # type: ignore[no-untyped-call]

    return step
