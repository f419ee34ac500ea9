"""ONNX graphs of Base in onnxruntime, against torch: all hidden states of one utterance, one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Claim, Figure, compare, find_missing, number, require_same
from benchmarks.workload import BASE, crops, network

SECONDS = 5.0
TORCH = "torch on the same utterance, 5 s"
SPEED = Claim("exported.speedup_vs_torch", "x faster", TORCH, devices=("cpu",))
INT8 = Claim("exported.int8_speedup_vs_torch", "x faster", TORCH, devices=("cpu",))
SIZE = Claim("exported.int8_bytes", "of fp32's bytes", "model.onnx", devices=("cpu",))
ERROR = Claim("exported.difference", "relative", "torch, last layer", cpu="<= 0.0001", devices=("cpu",))
CLAIMS = (SPEED, INT8, SIZE, ERROR)


def main(device: str) -> Iterator[Figure]:
    if missing := find_missing("onnx", "onnxruntime", "onnxscript"):
        yield from (claim.skip(device, missing) for claim in CLAIMS)
        return
    from wavlm.export.onnx.run import OnnxNetwork
    from wavlm.export.onnx.write import write_int8, write_onnx

    model = network().eval()
    waveform = crops(1, SECONDS, "cpu").waveforms[0]
    with tempfile.TemporaryDirectory() as temporary:
        files = [write_onnx(model, Path(temporary), range(BASE.num_layers + 1)), write_int8(Path(temporary))]
        sizes = [path.stat().st_size for path in files]
        graphs = [OnnxNetwork(path) for path in files]
    samples = waveform.numpy()

    def ours() -> torch.Tensor:
        with torch.inference_mode():
            states: list[torch.Tensor] = model.hidden_states(waveform)
            return states[-1]

    expected, found = ours(), torch.from_numpy(graphs[0].states_of(samples)[f"hidden_state_{BASE.num_layers}"])
    require_same("last layer", found, expected, 1e-3)
    yield ERROR.figure(float(np.abs(found - expected).max() / expected.abs().max()), device)
    timed = {
        "torch": ours,
        "fp32": lambda: graphs[0].states_of(samples),
        "int8": lambda: graphs[1].states_of(samples),
    }
    seconds = {name: timing.median for name, timing in compare(timed, device, rounds=3).items()}
    note = ", ".join(f"{name} {number(value)} s" for name, value in seconds.items())
    yield SPEED.figure(seconds["torch"] / seconds["fp32"], device, note)
    yield INT8.figure(seconds["torch"] / seconds["int8"], device, note)
    yield SIZE.figure(sizes[1] / sizes[0], device, f"{sizes[1] / 1e6:.0f} of {sizes[0] / 1e6:.0f} MB")
