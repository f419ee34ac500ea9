"""From waveforms to features, forward and backward: ours against transformers' stack of modules.

3 s of audio on a CPU, 13 x 15 s in bf16 on a GPU, where ours is compiled as the trainer does it.
transformers asks for a gradient of the waveform while training; that is its own doing and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.harness import Claim, Figure, compare, find_missing, require_same
from benchmarks.saved import count_saved_bytes
from benchmarks.workload import BASE, Crops, crops
from wavlm.nn.conv import FeatureEncoder
from wavlm.specs import NetworkSpec

STYLES = {"base": BASE, "large": BASE.model_copy(update={"extractor_norm": "layer"})}
PEER = "transformers WavLMFeatureEncoder"
SPEEDUP, RATIO, BYTES = "speedup_vs_transformers", "saved_vs_transformers", "saved_per_second"
COMPILED = "speedup_vs_transformers_compiled"
CLAIMS = tuple(
    claim
    for style in STYLES
    for claim in (
        Claim(f"front.{SPEEDUP}.{style}", "x faster", PEER),
        Claim(f"front.{COMPILED}.{style}", "x faster", f"{PEER}, compiled", devices=("cuda",)),
        Claim(f"front.{BYTES}.{style}", "MB per s of audio"),
        Claim(f"front.{RATIO}.{style}", "x the bytes", PEER),
    )
)


def main(device: str) -> Iterator[Figure]:
    claims = {claim.name: claim for claim in CLAIMS}
    reason = find_missing("transformers.models.wavlm.modeling_wavlm")
    if reason is not None:
        yield from (claim.skip(device, reason) for claim in CLAIMS if device in claim.devices)
        return
    batch = crops(13, 15.0, device) if device == "cuda" else crops(1, 3.0, device)
    for style, network in STYLES.items():
        found = _measure(network, batch, device)
        for what, value in found.items():
            yield claims[f"front.{what}.{style}"].figure(value, device)
        if device == "cuda" and COMPILED not in found:
            yield claims[f"front.{COMPILED}.{style}"].skip(device, "torch.compile fails on it")


def _measure(network: NetworkSpec, batch: Crops, device: str) -> dict[str, float]:
    """The values of one style, by the middle part of their names."""
    ours, theirs = _build_extractors(network, device)
    forwards: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: _cast(lambda: ours(batch.waveforms), device),
        # The detached copy: it sets requires_grad on what it is given.
        "theirs": lambda: _cast(lambda: theirs(batch.waveforms.detach()).transpose(1, 2), device),
    }
    _require_same_results(ours, theirs, forwards, 1e-4 if device == "cpu" else 2e-2)
    saved = {
        name: count_saved_bytes(forward, ours if name == "ours" else theirs) / batch.seconds
        for name, forward in forwards.items()
    }
    if device == "cuda":
        forwards["ours"] = torch.compile(forwards["ours"])
        forwards["theirs compiled"] = torch.compile(forwards["theirs"])
    steps = {name: _with_backward(forward) for name, forward in forwards.items()}
    if "theirs compiled" in steps and not _runs(steps["theirs compiled"]):
        del steps["theirs compiled"]
    times = {name: timing.median for name, timing in compare(steps, device, rounds=4).items()}
    found = {
        SPEEDUP: times["theirs"] / times["ours"],
        BYTES: saved["ours"] / 1e6,
        RATIO: saved["ours"] / saved["theirs"],
    }
    if "theirs compiled" in times:
        found[COMPILED] = times["theirs compiled"] / times["ours"]
    return found


def _runs(step: Callable[[], None]) -> bool:
    """Whether the compiler can make anything of it."""
    try:
        step()
    except RuntimeError:
        return False
    return True


def _build_extractors(network: NetworkSpec, device: str) -> tuple[FeatureEncoder, nn.Module]:
    """Both with the same weights, in training mode."""
    from transformers import WavLMConfig
    from transformers.models.wavlm.modeling_wavlm import WavLMFeatureEncoder

    torch.manual_seed(0)
    ours = FeatureEncoder(network)
    config = WavLMConfig(feat_extract_norm=network.extractor_norm)
    theirs: nn.Module = WavLMFeatureEncoder(config)  # type: ignore[no-untyped-call]
    names = {f"convs.{n}.": f"conv_layers.{n}.conv." for n in range(len(network.conv_layers))}
    names |= {f"norms.{n}.": f"conv_layers.{n}.layer_norm." for n in range(len(ours.norms))}
    theirs.load_state_dict(
        {
            name.replace(mine, other): tensor
            for name, tensor in ours.state_dict().items()
            for mine, other in names.items()
            if name.startswith(mine)
        },
        strict=True,
    )
    return ours.to(device).train(), theirs.to(device).train()


def _cast(forward: Callable[[], Tensor], device: str) -> Tensor:
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return forward()


def _with_backward(forward: Callable[[], Tensor]) -> Callable[[], None]:
    """The gradient is all ones: no loss of its own takes time."""

    def step() -> None:
        output = forward()
        output.backward(torch.ones_like(output))  # type: ignore[no-untyped-call]

    return step


def _require_same_results(
    ours: nn.Module, theirs: nn.Module, forwards: dict[str, Callable[[], Tensor]], tolerance: float
) -> None:
    outputs = {name: forward() for name, forward in forwards.items()}
    require_same("features", outputs["ours"].float(), outputs["theirs"].float(), tolerance)
    weights = {"ours": next(ours.parameters()), "theirs": next(theirs.parameters())}
    found = {
        name: torch.autograd.grad(output.float().square().sum(), weights[name])[0] for name, output in outputs.items()
    }
    require_same("gradient of the first filter", found["ours"], found["theirs"], 10 * tolerance)
