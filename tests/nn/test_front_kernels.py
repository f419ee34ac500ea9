"""The front's kernels without a GPU: interpreted, and compiled for Hopper."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.numerics import norm_tolerance

pytestmark = pytest.mark.numeric


def require_triton() -> None:
    """Skip where no triton is made for; on Linux a development environment without it is a failure."""
    if sys.platform != "linux":
        pytest.importorskip("triton")


@pytest.mark.slow
def test_kernels_for_a_gpu_compute_the_same_in_triton_s_interpreter() -> None:
    require_triton()
    done = subprocess.run(
        [sys.executable, "-m", "tests.nn.interpreted_front"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    differences = json.loads(done.stdout)
    assert len(differences) == 4
    for name, found in differences.items():
        # Values and gradients of three convolutions; in bf16 each is rounded on the way in and out.
        products = sum(before * kernel for before, kernel in ((1, 12), (70, 3), (33, 2)))
        float32 = norm_tolerance(3 * products, torch.float32)
        limit = float32 if "float32" in name else norm_tolerance(3 * 3 * 2, torch.bfloat16)
        assert all(difference <= limit for difference in found), (name, found)


def launches(style: str, dtype: str) -> dict[str, tuple[Any, ...]]:
    """Kernels of the paper's network as they are launched: function, types, constants, options."""
    from wavlm.nn.front import kernels, whole

    normed = style == "layer"
    pointers = {"scale": "*fp32", "shift": "*fp32", "norm_sums": "*fp32", "eps": "fp32"}
    pointers |= dict.fromkeys(("signal", "filters", "factors"), "*fp32")
    pointers |= dict.fromkeys(("filter_sums", "factor_sums"), "*fp32")
    pointers |= dict.fromkeys(("values", "d_values", "z", "dz"), f"*{dtype}")
    folded = {"stride": 5, "kernel": 10, "scaled": normed}
    rows = {"rows_at_once": whole.ELEMENTS_AT_ONCE // 512, "width": 512}
    found = {
        "folded forward": (kernels.forward_folded, folded | whole.FORWARD),
        "folded backward": (kernels.backward_folded, folded | whole.BACKWARD),
        "activation backward": (
            kernels.backward_activation, rows | {"normed": normed, "steps": whole.STEPS}
        ),
    }  # fmt: skip
    if normed:
        found["activation forward"] = (kernels.forward_activation, rows)
    return {
        name: (
            kernel,
            {x: "constexpr" if x in given else pointers.get(x, "i32") for x in kernel.arg_names},
            {x: value for x, value in given.items() if x in kernel.arg_names},
            {x: value for x, value in given.items() if x not in kernel.arg_names} | whole.FUSED,
        )
        for name, (kernel, given) in found.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("style", ["group", "layer"])
def test_kernels_compile_for_sm_90_without_spilling_registers(
    style: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_triton()
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia import compiler

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    for name, (kernel, types, constants, options) in launches(style, dtype).items():
        aligned = {  # as a launch finds out: pointers and the paper's 512 channels
            (number,): [["tt.divisibility", 16]]
            for number, (argument, type_) in enumerate(types.items())
            if type_[0] == "*" or argument in ("channels", "bank_stride")
        }
        source = triton.compiler.ASTSource(kernel, types, constexprs=constants, attrs=aligned)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        (tmp_path / "kernel.ptx").write_text(compiled.asm["ptx"])
        assembler = [compiler.get_ptxas(90).path, "-v", "--gpu-name=sm_90a", "kernel.ptx"]
        done = subprocess.run(assembler, cwd=tmp_path, capture_output=True, text=True, check=True)
        spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", done.stderr)
        assert spilled == ["0", "0"], (name, done.stderr)
