"""The conv front against a chain of plain modules in float64, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.nn.networks import base, large, lively
from tests.numerics import (
    front_operations,
    norm_tolerance,
    num_operations,
    relative_tolerance,
    require_all_close,
    require_close,
)
from wavlm.nn.conv import FeatureEncoder
from wavlm.nn.front.stack import encode_features
from wavlm.specs import ConvLayer, NetworkSpec
from wavlm.specs.shapes import num_frames

pytestmark = pytest.mark.numeric

each_style = pytest.mark.parametrize("style", [base, large], ids=["group", "layer"])
Style = Callable[..., NetworkSpec]


def stack(*layers: tuple[int, int, int]) -> tuple[ConvLayer, ...]:
    return tuple(ConvLayer(channels=c, kernel=k, stride=s) for c, k, s in layers)


PAPER_LIKE = stack((12, 10, 5), (10, 3, 2), (14, 3, 2), (12, 3, 2), (12, 3, 2), (12, 2, 2), (8, 2, 2))
OTHERS = {
    "one convolution": stack((8, 10, 5)),
    "no strides": stack((8, 3, 1), (6, 3, 1), (5, 1, 1)),
    "kernels much longer than strides": stack((8, 7, 3), (6, 7, 3), (4, 5, 1)),
    "samples that no kernel sees": stack((8, 3, 4), (6, 2, 5), (4, 1, 3)),
}


def extractor(network: NetworkSpec) -> FeatureEncoder:
    return lively(network).extractor


def chain(module: FeatureEncoder, waveforms: Tensor) -> Tensor:
    """(B, N) -> (B, F, C) in float64, by torch's own functions on the module's parameters."""
    x = waveforms.double()[:, None]
    parameters = {name: p.double() for name, p in module.named_parameters()}
    for number, conv in enumerate(module.convs):
        weight, bias = parameters[f"convs.{number}.weight"], parameters.get(f"convs.{number}.bias")
        x = functional.conv1d(x, weight, bias, cast("nn.Conv1d", conv).stride)
        if number < len(module.norms):
            norm = module.norms[number]
            scale, shift = (parameters[f"norms.{number}.{name}"] for name in ("weight", "bias"))
            if isinstance(norm, nn.GroupNorm):
                x = functional.group_norm(x, x.shape[1], scale, shift, norm.eps)
            else:
                x = functional.layer_norm(x.mT, x.shape[1:2], scale, shift, 1e-5).mT
        x = functional.gelu(x)
    return x.mT


def gradients(module: FeatureEncoder, output: Tensor) -> dict[str, Tensor]:
    """Those of the output's product with fixed weights."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    parameters = dict(module.named_parameters())
    found = torch.autograd.grad(output, list(parameters.values()), weights.to(output))
    return dict(zip(parameters, found, strict=True))


def waveforms(num_samples: int = 3001, batch: int = 2) -> Tensor:
    return torch.randn(batch, num_samples, generator=torch.Generator().manual_seed(0))


def require_equal(module: FeatureEncoder, audio: Tensor, tolerance: float | None = None) -> None:
    """Outputs to a tolerance, gradients to ten of them, relative to their norms."""
    if tolerance is None:  # four sums in a row: a convolution, a mean, a variance, an activation
        products = sum(conv.weight[0].numel() for conv in module.convs)
        tolerance = relative_tolerance(4 * products, audio.dtype)
    found, expected = module(audio), chain(module, audio)
    assert found.dtype == audio.dtype
    assert (found - expected).norm() <= tolerance * expected.norm()
    ours, theirs = gradients(module, found), gradients(module, expected)
    largest = max(theirs[name].norm() for name in theirs)
    for name, gradient in theirs.items():
        # A bias before a norm over time has a gradient of zero, up to rounding.
        allowed = 10 * tolerance * max(gradient.norm(), 1e-2 * largest)
        assert (ours[name] - gradient).norm() <= allowed, name


@each_style
@pytest.mark.parametrize("conv_bias", [False, True])
@pytest.mark.parametrize("layers", [PAPER_LIKE, *OTHERS.values()], ids=["paper", *OTHERS])
def test_values_and_gradients_equal_a_chain_of_modules(
    style: Style, conv_bias: bool, layers: tuple[ConvLayer, ...]
) -> None:
    module = extractor(style(conv_layers=layers, conv_bias=conv_bias))
    require_equal(module, waveforms())


@each_style
@pytest.mark.parametrize(
    "change", [lambda x: 1e-4 * x, lambda x: x + 3, lambda x: 1e-4 * x + 0.1, lambda x: 0 * x],
    ids=["quiet", "shifted", "quiet and shifted", "silent"],
)  # fmt: skip
def test_quiet_and_shifted_waveforms_lose_no_precision(style: Style, change: Callable[[Tensor], Tensor]) -> None:
    require_equal(extractor(style(conv_layers=PAPER_LIKE)), change(waveforms()))


@each_style
def test_blocks_make_no_difference(style: Style) -> None:
    """Long enough for several blocks of rows in the first two convolutions of each utterance."""
    layers = stack((4, 10, 5), (5, 3, 2), (3, 3, 2), (3, 2, 2))
    module = extractor(style(conv_layers=layers)).double()
    frames = num_frames(40_000, layers[:1])  # over which a filter's gradient is summed
    require_equal(module, waveforms(40_000).double(), relative_tolerance(frames, torch.float64))


@each_style
def test_networks_in_float64_are_computed_in_float64(style: Style) -> None:
    module = extractor(style(conv_layers=PAPER_LIKE, conv_bias=True)).double()
    audio = waveforms().double()
    found, expected = module(audio), chain(module, audio)
    operations = front_operations(style(conv_layers=PAPER_LIKE))
    require_close(found, expected, operations)
    require_all_close(gradients(module, found), gradients(module, expected), 3 * operations)


@each_style
def test_rows_of_a_padded_batch_are_the_utterances_alone(style: Style) -> None:
    model, lengths = lively(style(normalize_waveform=style is large)), (2500, 1400, 700)
    audio = waveforms(2500, 3) + 0.5
    with torch.no_grad():
        together = model.hidden_states(audio, torch.tensor(lengths), each_alone=True)
        for row, length in enumerate(lengths):
            alone = model.hidden_states(audio[row : row + 1, :length])
            for padded, single in zip(together, alone, strict=True):
                found = padded[row, : single.shape[1]]
                require_close(found, single[0], num_operations(model.network, len(found)))


def test_padding_changes_the_group_style_if_the_rows_are_not_told_apart() -> None:
    model = lively(base())
    with torch.no_grad():
        audio = waveforms(2500, 1)
        padded = functional.pad(audio, (0, 1500))
        alone = model.hidden_states(audio)[0]
        plain = model.hidden_states(padded, torch.tensor([2500]))[0]
    assert (plain[:, : alone.shape[1]] - alone).abs().max() > 1e-2


@each_style
def test_gradients_of_padded_rows_are_those_of_each_utterance_alone(style: Style) -> None:
    module = extractor(style(conv_layers=PAPER_LIKE)).double()
    audio, lengths = waveforms(3001, 2).double(), (3001, 1800)
    together = module(audio, torch.tensor(lengths))
    counts = [num_frames(length, PAPER_LIKE) for length in lengths]
    found = gradients(module, torch.cat([together[row, :n] for row, n in enumerate(counts)]))
    alone = [module(audio[row : row + 1, :n])[0] for row, n in enumerate(lengths)]
    operations = 3 * front_operations(style(conv_layers=PAPER_LIKE))
    require_all_close(found, gradients(module, torch.cat(alone)), operations)


@each_style
def test_a_waveform_that_wants_its_gradient_gets_it(style: Style) -> None:
    module = extractor(style(conv_layers=PAPER_LIKE)).double()
    audio = waveforms().double().requires_grad_()
    weights = torch.randn(12)[:8].double()
    (found,) = torch.autograd.grad((module(audio) @ weights).sum(), audio)
    (expected,) = torch.autograd.grad((chain(module, audio) @ weights).sum(), audio)
    require_close(found, expected, 3 * front_operations(style(conv_layers=PAPER_LIKE)))


@each_style
def test_step_by_step_and_all_at_once_are_the_same_also_for_padded_rows(style: Style) -> None:
    module = extractor(style(conv_layers=PAPER_LIKE, conv_bias=True)).double()
    audio, lengths = waveforms().double(), torch.tensor([3001, 1800])
    for num_samples in (None, lengths):
        found, expected = module(audio, num_samples), module.forward_plain(audio, num_samples)
        require_close(found[:, :3], expected[:, :3], front_operations(style(conv_layers=PAPER_LIKE)))


@each_style
def test_bf16_is_no_farther_from_float64_than_separate_modules_are(style: Style) -> None:
    module = extractor(style(conv_layers=PAPER_LIKE, conv_bias=True))
    audio = waveforms(12_001)
    exact = chain(module, audio)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = module(audio), module.forward_plain(audio)
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).norm() <= 1.1 * (theirs - exact).norm()
    expected = gradients(module, exact)
    expected.pop("convs.0.bias")  # zero in the group style

    def distance(output: Tensor) -> float:
        found = gradients(module, output)
        assert all(gradient.dtype == torch.float32 for gradient in found.values())
        relative = [(found[name] - x).norm() / x.norm() for name, x in expected.items()]
        return float(torch.stack(relative).mean())

    assert distance(ours) <= 1.1 * distance(theirs)


@each_style
def test_parameters_in_bf16_need_no_autocast(style: Style) -> None:
    """As where a sharded network gathers them in bf16."""
    module = extractor(style(conv_layers=PAPER_LIKE, conv_bias=True)).bfloat16()
    found, expected = module(waveforms()), chain(module, waveforms())
    assert found.dtype == torch.bfloat16
    # In a row: input, output and GELU of each convolution, and a norm of each in the layer style.
    num_roundings = 4 * len(PAPER_LIKE)
    assert (found - expected).norm() <= norm_tolerance(num_roundings, torch.bfloat16) * expected.norm()
    ours, theirs = gradients(module, found), gradients(module, expected)
    for name in ("convs.0.weight", "convs.3.weight", "norms.0.weight", "norms.0.bias"):
        assert ours[name].dtype == torch.bfloat16
        allowed = norm_tolerance(3 * num_roundings, torch.bfloat16)
        assert (ours[name] - theirs[name]).norm() <= allowed * theirs[name].norm(), name


@each_style
def test_the_backward_keeps_the_output_of_each_later_convolution_and_little_else(
    style: Style,
) -> None:
    layers = stack((64, 10, 5), (64, 3, 2), (64, 3, 2), (64, 2, 2))
    module, audio = extractor(style(conv_layers=layers)), waveforms(16_000)
    kept: dict[int, int] = {p.untyped_storage().data_ptr(): 0 for p in module.parameters()}

    def note(x: Tensor) -> Tensor:
        kept.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes())
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        module(audio)
    frames = [num_frames(16_000, layers[: n + 1]) for n in range(len(layers))]
    outputs = 4 * 2 * 64 * sum(frames[1:])
    assert outputs <= sum(kept.values()) <= 1.15 * outputs


def test_without_gradients_nothing_is_kept() -> None:
    module, audio = extractor(base()), waveforms()
    signal, filters = audio, torch.randn(1, 11, 12)
    rest = (None, [module.convs[1].weight], [], [], [], [5, 2], 1e-5, torch.float32)
    assert len(encode_features(signal, filters, *rest, False)) == 1
    assert len(encode_features(signal, filters, *rest, True)) == 2
    with torch.no_grad():
        assert not module(audio).requires_grad


@pytest.mark.slow
@each_style
def test_torch_compile_keeps_the_front_in_one_graph(style: Style) -> None:
    module = extractor(style(conv_bias=True))
    audio = waveforms()
    compiled = torch.compile(module, fullgraph=True, dynamic=False, backend="aot_eager")
    found, expected = compiled(audio), module(audio)
    operations = front_operations(style())
    require_close(found, expected, operations)
    require_all_close(gradients(module, found), gradients(module, expected), 3 * operations)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@each_style
def test_the_operator_keeps_torch_s_rules_for_operators(style: Style) -> None:
    """Shapes, strides and gradients as announced; inputs unchanged."""
    layer_style = style is large
    filters = torch.randn(1 if layer_style else 2, 12 if layer_style else 11, 6)
    form = torch.eye(11).double().requires_grad_() if layer_style else None
    weights = [torch.randn(5, 6, 3, requires_grad=True), torch.randn(4, 5, 2, requires_grad=True)]
    biases = [torch.randn(5, requires_grad=True), torch.randn(4, requires_grad=True)]
    norms = biases if layer_style else []
    arguments = (waveforms(300), filters.requires_grad_(), form, weights, biases, norms, norms)
    checks = (
        "test_schema",
        "test_autograd_registration",
        "test_faketensor",
        "test_aot_dispatch_static",
    )
    torch.library.opcheck(encode_features, (*arguments, [5, 2, 2], 1e-5, torch.float32, True), test_utils=checks)
