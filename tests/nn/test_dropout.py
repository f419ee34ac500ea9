"""Each dropout is where the paper has it: alone at one half, it zeroes half of a tensor and doubles the rest.

In training mode a place is compared with the same place in evaluation mode, for the same input.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.nn.networks import base, large, lively
from wavlm.nn import WavLM
from wavlm.nn.attention import default_attention
from wavlm.specs import NetworkSpec

STYLES = {"post-norm": base, "pre-norm": large}
PLACES = {
    # place: the field that drops there
    "projected features": "input_dropout",
    "input of the first layer": "dropout",
    "output of attention": "dropout",
    "output of the feed-forward block": "dropout",
    "inner vectors of the feed-forward block": "activation_dropout",
}


def tensors_of(model: WavLM) -> dict[str, Tensor]:
    """What reaches each place of the first layer, and the states around it, of one forward pass."""
    seen: dict[str, Tensor] = {}

    def keep_input(name: str) -> Callable[..., None]:
        return lambda _module, arguments: seen.update({name: arguments[0].detach()})

    def keep_output(name: str) -> Callable[..., None]:
        return lambda _module, _arguments, output: seen.update({name: output.detach()})

    layer = model.encoder.layers[0]
    hooks: list[tuple[nn.Module, str]] = [
        (model.encoder, "encoder"), (layer, "layer"), (layer.attention_norm, "attention_norm"),
        (layer.fc2, "fc2"), (layer.ffn_norm, "ffn_norm"),
    ]  # fmt: skip
    handles = [module.register_forward_pre_hook(keep_input(f"{name} in")) for module, name in hooks]
    handles += [module.register_forward_hook(keep_output(f"{name} out")) for module, name in hooks[1:]]
    torch.manual_seed(1)
    waveforms = torch.randn(3, 3000, generator=torch.Generator().manual_seed(0))
    model.hidden_states(waveforms, num_layers=1)
    for handle in handles:
        handle.remove()
    return seen


def place(seen: dict[str, Tensor], name: str, network: NetworkSpec) -> Tensor:
    """The tensor that is dropped at a place; a residual is what was added to the state before it."""
    found = {
        "projected features": seen["encoder in"],
        "input of the first layer": seen["layer in"],
        "inner vectors of the feed-forward block": seen["fc2 in"],
    }
    if name in found:
        return found[name]
    if name == "output of attention":
        after = seen["ffn_norm in"] if network.norm_first else seen["attention_norm in"]
        return after - seen["layer in"]
    if network.norm_first:
        return seen["layer out"] - seen["ffn_norm in"]
    return seen["ffn_norm in"] - seen["attention_norm out"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", PLACES)
def test_half_of_one_tensor_is_zero_and_the_rest_doubled(style: str, name: str) -> None:
    network = STYLES[style](**{PLACES[name]: 0.5})
    model = lively(network)
    whole = place(tensors_of(model.eval()), name, network)
    model.train()
    for other, field in PLACES.items():  # another place of the same field would change what reaches this one
        if other != name and field == PLACES[name]:
            silence(model, other)
    dropped = place(tensors_of(model), name, network)
    zeros = (dropped == 0) & (whole != 0)
    share = float(zeros.float().mean())
    assert share == pytest.approx(0.5, abs=0.05), f"{share} of {zeros.numel()}"
    kept = ~zeros
    torch.testing.assert_close(dropped[kept], 2 * whole[kept], rtol=1e-3, atol=1e-4)


def silence(model: WavLM, name: str) -> None:
    """Let one of the places that share a field drop nothing."""
    layer = model.encoder.layers[0]
    if name == "input of the first layer":
        model.encoder.dropout.p = 0.0
        return
    # One module drops the output of both blocks: each call of it is counted.
    calls = []
    both = layer.dropout.forward
    first = name == "output of attention"

    def forward(x: Tensor) -> Tensor:
        calls.append(1)
        is_attention = len(calls) % 2 == 1
        return x if is_attention == first else both(x)

    layer.dropout.forward = forward


@pytest.mark.parametrize("style", STYLES)
def test_attention_weights_are_dropped_in_training_alone(style: str) -> None:
    asked: list[float] = []
    attend = default_attention()

    def spy(heads, bias, num_valid, dropout):
        asked.append(dropout)
        return attend(heads, bias, num_valid, dropout)

    network = STYLES[style](attention_dropout=0.25)
    model = WavLM(network, 5, spy)
    waveforms = torch.zeros(1, 2000)
    model.train().hidden_states(waveforms)
    model.eval().hidden_states(waveforms)
    assert asked == [0.25] * network.num_layers + [0.0] * network.num_layers


@pytest.mark.parametrize("style", STYLES)
def test_without_dropout_training_computes_what_evaluation_does(style: str) -> None:
    model = lively(STYLES[style]())
    waveforms = torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(model.train().hidden_states(waveforms), model.eval().hidden_states(waveforms), strict=True):
        assert torch.equal(ours, theirs)
