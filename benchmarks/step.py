"""A whole update of Base: masking, network, head, loss, backward, clipping, AdamW, dropout 0.1.

Ours is the trainer's own `update`, compiled on a GPU; the batch is made up and always the same, so
nothing is loaded. On a CPU fp32 and one utterance; on a GPU bf16 and 13 x 15 s, and as much audio
in utterances of 5 and of 30 s. Layer drop is off on all sides.

MFU = operations counted from the shapes (backward as two forwards) / time / the rate of a large
bf16 matrix product, measured in turn with the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import (
    Claim,
    Figure,
    NotTheSameError,
    compare,
    find_missing,
    number,
    require_same,
)
from benchmarks.peers import PeerStep, TransformersPretraining
from benchmarks.workload import BASE, NUM_CLUSTERS, TRAIN, Crops, OurStep, crops, network
from wavlm.specs.shapes import BACKWARD_FACTOR, forward_flops

TRANSFORMERS = "transformers WavLM + fairseq-style head"
ON_GPU = {5: 39, 15: 13, 30: 6}  # utterances of so many seconds
CPU_ROUNDS = {10: 3, 30: 1}
MATRIX_SIZE = 8192
SPEEDUPS = {
    seconds: Claim(
        f"step.speedup_vs_transformers.{seconds}s",
        "x faster",
        TRANSFORMERS,
        cpu=">= 1.3",
        cuda=">= 3",
        devices=("cpu",) if seconds in CPU_ROUNDS else ("cuda",),
    )
    for seconds in (*CPU_ROUNDS, 15)
}
COMPILED = Claim(
    "step.speedup_vs_transformers_compiled.15s",
    "x faster",
    f"{TRANSFORMERS}, compiled",
    cuda=">= 3",
    devices=("cuda",),
)
MINIMAL = Claim(
    "step.speedup_vs_minimal_hubert.15s",
    "x faster",
    "minimal-hubert, compiled (it has no position bias)",
    cuda=">= 2",
    devices=("cuda",),
)
MFU = {
    seconds: Claim(
        f"step.mfu.{seconds}s",
        "of the matrix rate",
        cuda=">= 0.45" if seconds == 15 else None,
        devices=("cuda",),
    )
    for seconds in ON_GPU
}
RATE = Claim("step.audio_rate.15s", "s of audio per s", devices=("cuda",))
MATRIX = Claim("step.matrix_rate", "TFLOP/s in bf16", devices=("cuda",))
MFU_SPREAD = Claim("step.mfu_spread_5_to_30s", "largest / smallest", cuda="<= 1.1", devices=("cuda",))
TIME_SPREAD = Claim("step.time_spread_5_to_30s", "largest / smallest", devices=("cuda",))
CLAIMS = (
    *SPEEDUPS.values(),
    COMPILED,
    MINIMAL,
    *MFU.values(),
    MFU_SPREAD,
    TIME_SPREAD,
    RATE,
    MATRIX,
)


def main(device: str) -> Iterator[Figure]:
    reason = find_missing("wavlm.train.step")
    if reason is not None:
        return iter([claim.skip(device, reason) for claim in CLAIMS if device in claim.devices])
    return _on_gpu() if device == "cuda" else _on_cpu()


def _on_cpu() -> Iterator[Figure]:
    reason = find_missing("transformers")
    if reason is not None:
        yield from (SPEEDUPS[seconds].skip("cpu", reason) for seconds in CPU_ROUNDS)
        return
    ours, theirs = _both("cpu")
    _warm_up(ours, theirs)
    for seconds, rounds in CPU_ROUNDS.items():
        batch = crops(1, float(seconds), "cpu")
        steps = {"ours": ours.on(batch), "theirs": theirs.on(batch)}
        found = compare(steps, "cpu", rounds=rounds, warmup=0)
        mine, other = found["ours"].median, found["theirs"].median
        note = f"ours {number(mine)} s, theirs {number(other)} s, rounds: {rounds}"
        yield SPEEDUPS[seconds].figure(other / mine, "cpu", note)


def _on_gpu() -> Iterator[Figure]:
    reason = find_missing("transformers")
    ours, theirs = _ours("cuda"), None
    if reason is None:
        try:
            ours, theirs = _both("cuda")
        except NotTheSameError as error:  # our own figures need no peer
            reason = str(error)
    batches = {seconds: crops(rows, float(seconds), "cuda") for seconds, rows in ON_GPU.items()}
    steps = {"matrix": _matrix_product("cuda")}
    steps |= {str(seconds): ours.on(batch) for seconds, batch in batches.items()}
    found = _medians(steps)
    yield from rates(found, {seconds: batch.seconds for seconds, batch in batches.items()})
    if theirs is None:
        yield from (claim.skip("cuda", str(reason)) for claim in (SPEEDUPS[15], COMPILED))
    else:
        yield _against(SPEEDUPS[15], ours, theirs, batches[15])
    yield _against_minimal_hubert(ours, batches[15])
    if theirs is not None:
        yield _against_compiled(ours, theirs, batches[15])


def rates(found: dict[str, float], audio: dict[int, float]) -> Iterator[Figure]:
    """What follows from our times and the matrix product's alone."""
    rate = 2 * MATRIX_SIZE**3 / found["matrix"]
    yield MATRIX.figure(rate / 1e12, "cuda", f"{MATRIX_SIZE} cubed")
    mfu = {
        seconds: BACKWARD_FACTOR * forward_flops(BASE, float(seconds)) * audio[seconds] / found[str(seconds)] / rate
        for seconds in ON_GPU
    }
    for seconds, rows in ON_GPU.items():
        note = f"{rows} x {seconds} s in {number(1e3 * found[str(seconds)])} ms"
        yield MFU[seconds].figure(mfu[seconds], "cuda", note)
    yield MFU_SPREAD.figure(max(mfu.values()) / min(mfu.values()), "cuda")
    times = [found[str(seconds)] / audio[seconds] for seconds in ON_GPU]
    floor = forward_flops(BASE, 30.0) / forward_flops(BASE, 5.0)
    note = f"per second of audio; operations alone grow by {number(floor)}"
    yield TIME_SPREAD.figure(max(times) / min(times), "cuda", note)
    yield RATE.figure(audio[15] / found["15"], "cuda")


def _against(claim: Claim, ours: OurStep, theirs: PeerStep, batch: Crops) -> Figure:
    try:
        found = _medians({"ours": ours.on(batch), "theirs": theirs.on(batch)})
    except torch.OutOfMemoryError as error:
        return claim.skip("cuda", str(error).splitlines()[0])
    mine, other = (number(1e3 * found[name]) for name in ("ours", "theirs"))
    note = f"ours {mine} ms, theirs {other} ms"
    return claim.figure(found["theirs"] / found["ours"], "cuda", note)


def _against_compiled(ours: OurStep, theirs: PeerStep, batch: Crops) -> Figure:
    """The same peer once more, each of its parts compiled."""
    wavlm: Any = theirs.module.wavlm
    for part in (wavlm.feature_extractor, *wavlm.encoder.layers, theirs.module.head):
        part.compile()
    try:
        return _against(COMPILED, ours, theirs, batch)
    except RuntimeError as error:  # what the compiler raises where it cannot
        reason = f"torch.compile fails: {error}".splitlines()[0]
        return COMPILED.skip("cuda", reason)


def _against_minimal_hubert(ours: OurStep, batch: Crops) -> Figure:
    reason = find_missing("minimal_hubert")
    if reason is not None:
        return MINIMAL.skip("cuda", reason)
    import minimal_hubert

    torch.manual_seed(0)
    model: Any = minimal_hubert.HuBERTPretrain(NUM_CLUSTERS, "base").cuda().train()
    model.encoder.layer_drop = 0.0
    model.compile(dynamic=True)  # as its own training does

    def loss(waveforms: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        of_frames, _ = model(waveforms, labels, mask=mask, attention_mask=None)
        total: Tensor = of_frames.sum()
        return total

    return _against(MINIMAL, ours, PeerStep(model, "bf16", loss), batch)


def _both(device: str) -> tuple[OurStep, PeerStep]:
    """Ours and transformers' with the same weights; raises if they lose differently."""
    precision = "fp32" if device == "cpu" else "bf16"
    model = network(device=device)
    theirs = TransformersPretraining(model)
    _require_same_loss(model, theirs, crops(1, 2.0, device), precision)
    return _ours(device, model), PeerStep(theirs, precision)


def _ours(device: str, model: nn.Module | None = None) -> OurStep:
    made: Any = model or network(device=device)
    is_cuda = device == "cuda"
    return OurStep(made, "bf16" if is_cuda else "fp32", compiled=is_cuda)


def _require_same_loss(ours: nn.Module, theirs: nn.Module, batch: Crops, precision: str) -> None:
    from wavlm.train.masked_prediction import micro_batch_loss

    kind = batch.waveforms.device.type
    ours.eval()
    theirs.eval()
    with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        mine = micro_batch_loss(ours(batch), TRAIN)
        other = theirs(batch.waveforms, batch.labels, batch.mask)
    ours.train()
    theirs.train()
    require_same("loss", mine.float(), other.float(), 1e-4 if precision == "fp32" else 2e-2)


def _warm_up(ours: OurStep, theirs: PeerStep) -> None:
    """Little audio is enough to create all state and load all code."""
    short = crops(1, 1.0, "cpu")
    for step in (ours.on(short), theirs.on(short)):
        step()


def _medians(steps: dict[str, Callable[[], None]]) -> dict[str, float]:
    found = compare(steps, "cuda", rounds=10, warmup=3, repeat=2)
    return {name: timing.median for name, timing in found.items()}


def _matrix_product(device: str) -> Callable[[], None]:
    shape = (MATRIX_SIZE, MATRIX_SIZE)
    first, second = (torch.randn(shape, device=device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(first)

    def product() -> None:
        torch.mm(first, second, out=out)

    return product
