"""Attention's kernels without a GPU: interpreted against float64, and compiled for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.nn.test_attention import assert_close
from tests.numerics import relative_tolerance
from wavlm.nn.attention import PositionBias, rows
from wavlm.nn.attention.dense import attend_dense
from wavlm.nn.attention.tilings import tiling

pytestmark = pytest.mark.numeric

if sys.platform == "linux":  # where the development environment has it: kernels that nobody tests are a failure
    import triton
else:
    triton = pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
NAMES = ["query", "key", "value", "gate", "table"]
BATCH, SEED = 2, (1 << 61) + 12345


@dataclass(frozen=True)
class Case:
    tiles: tuple[int, int, int]  # queries and keys of the forward, edge of the backward
    frames: int
    heads: int = 1
    size: int = 16
    ragged: bool = True
    dropout: float = 0.0
    biased: bool = True

    def inputs(self) -> dict[str, object]:
        """Queries, keys and values as views of one product that has further columns."""
        generator = torch.Generator().manual_seed(self.frames + self.size)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        heads, frames, size = self.heads, self.frames, self.size
        parts = normal(BATCH, frames, 3 * heads * size + 8).split([heads * size] * 3 + [8], -1)
        views = (part.view(BATCH, frames, heads, size).transpose(1, 2) for part in parts[:3])
        bias = (normal(BATCH, heads, frames), normal(heads, 2 * frames - 1)) if self.biased else ()
        return dict(zip(NAMES, [*views, *bias], strict=False)) | {
            "names": NAMES[: 3 + len(bias)],
            "d_out": normal(BATCH, heads, frames, size),
            "num_valid": torch.tensor([frames, max(1, frames // 3)]) if self.ragged else None,
            "tiles": self.tiles,
            "dropout": self.dropout,
            "seed": SEED,
        }


CASES = {
    "small tiles": Case((32, 32, 32), 50, heads=2, dropout=0.3),
    "more queries than keys, nothing padded": Case((64, 32, 32), 66, ragged=False),
    "the tiles of a GPU": Case((128, 64, 64), 140, dropout=0.1),
    "more keys than queries": Case((32, 64, 64), 65, ragged=False, dropout=0.5),
    "no bias": Case((32, 32, 32), 40, dropout=0.3, biased=False),
    "a head size that is no power of two": Case((32, 32, 32), 33, heads=2, size=6, dropout=0.3),
    "one frame": Case((32, 32, 32), 1),
}


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    """What the interpreter makes of all cases."""
    old = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7)
    if old and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip("this interpreter takes bounds of loops from arrays as only NumPy < 2.4 allows")
    folder = tmp_path_factory.mktemp("interpreted")
    cases = {name: case.inputs() for name, case in CASES.items()}
    torch.save(cases, folder / "cases.pt")
    subprocess.run(
        [sys.executable, "-m", "tests.nn.interpreted", folder / "cases.pt", folder / "results.pt"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        check=True,
    )
    return torch.load(folder / "results.pt", weights_only=True)


def unpack_bits(words: Tensor, frames: int) -> Tensor:
    """(B, H, F, words) -> (B, H, F, F) bool"""
    key = torch.arange(frames)
    return (words[..., key // 32] >> (key % 32)) & 1 == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_interpreted_kernels_equal_dense_attention_in_output_and_all_gradients(
    name: str, interpreted: dict[str, dict[str, Tensor]]
) -> None:
    case, found = CASES[name], interpreted[name]
    inputs = case.inputs()
    tensors = [inputs[key].double().requires_grad_() for key in inputs["names"]]
    bias = PositionBias(*tensors[3:]) if case.biased else None
    keep, share = None, 1.0
    if case.dropout:
        keep, share = unpack_bits(found["words"], case.frames), round((1 - case.dropout) * 4096) / 4096
    out = attend_dense(tuple(tensors[:3]), bias, inputs["num_valid"], keep, share)
    gradients = torch.autograd.grad((out * inputs["d_out"].double()).sum(), tensors)
    ours = [found["out"], *(found[f"d_{key}"] for key in inputs["names"])]
    # A product over channels and a sum over frames, three times; the table sums over utterances too.
    tolerance = relative_tolerance(3 * (case.size + BATCH * case.frames))
    assert_close([x.double() for x in ours], [out, *gradients], tolerance)


def philox(counters: np.ndarray, rounds: int = 7) -> np.ndarray:
    """Philox-4x32 (Salmon et al. 2011) of counters (N, 4) under the key SEED -> (N, 4) uint32."""
    words = [counters[:, i].astype(np.uint64) for i in range(4)]
    keys = [SEED & 0xFFFFFFFF, SEED >> 32]
    for _ in range(rounds):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
        words = [
            (second >> high) ^ words[1] ^ np.uint64(keys[0]),
            second & low,
            (first >> high) ^ words[3] ^ np.uint64(keys[1]),
            first & low,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(words, 1).astype(np.uint32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small tiles", "the tiles of a GPU", "more keys than queries"])
def test_a_weight_is_kept_if_its_random_number_is_below_the_threshold(
    name: str, interpreted: dict[str, dict[str, Tensor]]
) -> None:
    """The i-th of 12 digits, the lowest first, is a bit of word i % 4 of Philox call i // 4."""
    case, words = CASES[name], interpreted[name]["words"]
    row, word = np.divmod(np.arange(words.numel()), words.shape[3])
    digits = []
    for call in range(3):
        counters = np.stack([word * 3 + call, row, 0 * row, 0 * row], 1)
        digits += list(philox(counters).T)  # (N,) each
    bits = [(digit[:, None] >> np.arange(32, dtype=np.uint32)) & 1 for digit in digits]
    numbers = sum((1 - bit.astype(np.int64)) << index for index, bit in enumerate(bits))
    expected = numbers < round((1 - case.dropout) * 4096)
    found = unpack_bits(words, 32 * words.shape[3]).numpy().reshape(expected.shape)
    assert (found == expected).all()
    error = (case.dropout * (1 - case.dropout) / expected.size) ** 0.5
    assert abs(found.mean() - (1 - case.dropout)) < 4 * error


def test_tensors_of_a_cpu_take_the_rows() -> None:
    from wavlm.nn.attention import flash

    inputs = Case((32, 32, 32), 20).inputs()
    heads = tuple(inputs[name] for name in NAMES[:3])
    bias = PositionBias(inputs["gate"], inputs["table"])
    results = []
    for attend in (flash.attend, rows.attend):
        torch.manual_seed(2)
        results.append(attend(heads, bias, inputs["num_valid"], 0.2))
    assert torch.equal(*results)


HALF_POINTERS = {"query", "key", "value", "out", "d_out", "d_query", "d_key", "d_value"}
ABSENT = {
    "bias": {"gate", "table", "d_gate", "d_distances"},
    "dropout": {"kept"},
    "lengths": {"num_valid"},
}


def compile_kernel(kernel: str, element: str, absent: tuple[str, ...]) -> dict[str, Any]:
    """PTX and binary of a kernel for a Hopper GPU and heads of 64."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from wavlm.nn.attention import kernels

    function = getattr(kernels, f"attend_{kernel}")
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[element]
    tile = getattr(tiling(dtype, 64, 9), kernel.split("_", maxsplit=1)[0])
    constants: dict[str, object] = {"size": 64, "width": 64, "unit": 8, "n": tile.keys}
    if kernel == "forward":
        constants |= {"rows": tile.queries, "keys": tile.keys}
    constants |= dict.fromkeys(set().union(*(ABSENT[name] for name in absent)))
    types = {"num_valid": "*i64", "kept": "*i32", "scale": "fp32", "boost": "fp32"}
    types |= dict.fromkeys(HALF_POINTERS, f"*{element}")
    types |= dict.fromkeys(kernels.SIZES, "i32")
    signature = {name: "constexpr" if name in constants else types.get(name, "*fp32") for name in function.arg_names}
    aligned = {
        (index,): [["tt.divisibility", 16]] for index, kind in enumerate(signature.values()) if kind.startswith("*")
    }
    used = {name: value for name, value in constants.items() if name in signature}
    source = ASTSource(function, signature, used, aligned)
    options = {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm


def resources(binary: bytes, folder: Path) -> dict[str, int]:
    """Registers a thread, bytes of stack a thread (where registers are spilled to), and so on."""
    path = folder / "kernel.cubin"
    path.write_bytes(binary)
    cuobjdump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    report = subprocess.run([cuobjdump, "-res-usage", path], capture_output=True, text=True, check=True)
    return {name: int(size) for name, size in re.findall(r"\b([A-Z]+):(\d+)", report.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "element", "absent"),
    [
        ("forward", "bf16", ()),
        ("backward_queries", "bf16", ()),
        ("backward_keys", "bf16", ()),
        ("backward_keys", "fp16", ("dropout",)),
        ("backward_queries", "bf16", ("bias", "dropout", "lengths")),
        ("backward_queries", "fp32", ()),
    ],
)
def test_kernels_compile_for_a_gpu_without_spilling(
    kernel: str,
    element: str,
    absent: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    asm = compile_kernel(kernel, element, absent)
    used = resources(asm["cubin"], tmp_path)
    assert used["STACK"] + used["LOCAL"] <= 64, used
    assert ("wgmma.mma_async" in asm["ptx"]) == (element != "fp32")
    assert ".tf32" not in asm["ptx"]
    assert not re.search(r"\b(atom|red)\.", asm["ptx"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)],
)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_kernels_on_a_gpu_equal_dense_attention_and_themselves(
    dtype: torch.dtype, tolerance: float, dropout: float
) -> None:
    from wavlm.nn.attention import flash

    inputs = Case((0, 0, 0), 300, heads=3, size=64).inputs()
    tensors = [inputs[name].cuda() for name in NAMES]
    ours = [x.to(dtype) for x in tensors[:3]] + tensors[3:]
    results = []
    for _ in range(2):
        leaves = [x.detach().requires_grad_() for x in ours]
        seed, lengths = torch.tensor([SEED]), inputs["num_valid"].cuda()
        out, _ = flash.flash_attention(*leaves, lengths, seed, dropout)
        results.append([out, *torch.autograd.grad((out * inputs["d_out"].cuda()).sum(), leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    steps = flash.num_kept_levels(dropout)
    keep = unpack_bits(flash.draw_kept(ours[0], steps, SEED).cpu(), 300).cuda() if dropout else None
    exact = [x.double().detach().requires_grad_() for x in ours]
    bias = PositionBias(*exact[3:])
    out = attend_dense(tuple(exact[:3]), bias, lengths, keep, steps / 4096)
    gradients = torch.autograd.grad((out * inputs["d_out"].cuda()).sum(), exact)
    assert_close([x.double() for x in results[0]], [out, *gradients], tolerance)
