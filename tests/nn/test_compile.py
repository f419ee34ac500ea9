"""Compiled in regions the network computes the same, in few graphs that are never made again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.nn.networks import base, large, lively
from tests.nn.test_network import Batch, batch_for
from tests.numerics import mean_tolerance, norm_tolerance, num_operations, relative_tolerance, roundings
from wavlm.engine import regions
from wavlm.engine.wrap import prepare_network
from wavlm.execution.runtime import Runtime
from wavlm.nn import WavLM, save_model
from wavlm.specs import NetworkSpec

# The compiler's own: how it looks at gradients of inputs, and traces autograd functions.
pytestmark = [
    pytest.mark.numeric,
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

STYLES = [
    pytest.param(base(feature_grad_mult=0.1), id="base"),
    pytest.param(large(), id="large"),
    pytest.param(base(gated_bias=False), id="hubert"),
]
GRAPHS = 4  # front, positional convolution, a layer, head


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.set_num_threads(1)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch():
        yield
    torch._dynamo.reset()


def compile_network(network: NetworkSpec, backend: str = "aot_eager", **runtime: bool) -> WavLM:
    model = lively(network).train()
    prepare_network(model, Runtime(compile=True, **runtime), backend)
    return model


def gradients(
    model: WavLM, batch: Batch, *, with_unmasked: bool = False, bf16: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, and its gradients, beside which room in the head plays no role."""
    model.zero_grad()
    with torch.autocast(batch.waveforms.device.type, torch.bfloat16, enabled=bf16):
        terms = model(batch, with_unmasked=with_unmasked, max_masked=batch.mask.numel())
        loss = terms.masked.loss + 10 * terms.feature_penalty * terms.masked.num_frames
        if terms.unmasked:
            loss = loss + 0.5 * terms.unmasked.loss
    torch.autograd.backward(loss)
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Norm of the difference relative to the norm, all gradients as one vector."""
    squares = [(ours[name] - theirs[name]).double().square().sum() for name in theirs]
    return float(sum(squares) / sum(g.double().square().sum() for g in theirs.values())) ** 0.5


def draw_layers(model: WavLM, seed: int) -> list[bool]:
    torch.manual_seed(seed)
    return model._draw_kept_layers()


def num_graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@pytest.mark.parametrize("network", STYLES)
def test_compiled_regions_give_the_loss_and_gradients_of_eager(network: NetworkSpec) -> None:
    model, batch = compile_network(network), batch_for(network)
    for with_unmasked in (False, True):
        loss, ours = gradients(model, batch, with_unmasked=with_unmasked)
        expected, theirs = gradients(lively(network).train(), batch, with_unmasked=with_unmasked)
        operations = num_operations(network, batch.mask.shape[1])
        assert loss == pytest.approx(expected.item(), rel=relative_tolerance(operations))
        assert distance(ours, theirs) < norm_tolerance(3 * operations, torch.float32)
    assert num_graphs() == GRAPHS + 1  # the head over all frames is one more


@pytest.mark.full
@pytest.mark.parametrize("network", STYLES[:2])
def test_under_bf16_compiled_regions_are_as_near_to_fp32_as_eager_is(network: NetworkSpec) -> None:
    batch = batch_for(network)
    exact_loss, exact = gradients(lively(network).train(), batch)
    eager_loss, eager = gradients(lively(network).train(), batch, bf16=True)
    loss, ours = gradients(compile_network(network), batch, bf16=True)
    assert loss.dtype == torch.float32
    forward, num_masked = roundings(network.num_layers), int(batch.mask.sum())
    for found in (eager_loss, loss):
        allowed = mean_tolerance(forward, num_masked, torch.bfloat16)
        assert found.item() == pytest.approx(exact_loss.item(), rel=allowed)
    for near in (eager, ours):
        assert 1e-3 < distance(near, exact) < norm_tolerance(3 * forward, torch.bfloat16)
    assert distance(ours, eager) < norm_tolerance(forward, torch.bfloat16)
    assert num_graphs() == GRAPHS


def test_after_the_first_batch_nothing_is_compiled_again() -> None:
    network = base(layer_drop=0.4, dropout=0.1, attention_dropout=0.1)
    model, first = compile_network(network), batch_for(network)
    everything = next(seed for seed in range(99) if all(draw_layers(model, seed)))
    for with_unmasked in (False, True):
        torch.manual_seed(everything)
        gradients(model, first, with_unmasked=with_unmasked)
    assert num_graphs() == GRAPHS + 1
    kept = set()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(8):
            generator = torch.Generator().manual_seed(seed)
            masks = torch.rand(first.mask.shape, generator=generator) < 0.1 * (1 + seed)
            batch = Batch(torch.randn_like(first.waveforms), first.labels.roll(seed, 1), masks)
            kept.add(tuple(draw_layers(model, seed)))
            torch.manual_seed(seed)
            gradients(model, batch, with_unmasked=seed % 2 == 1)
    assert len(kept) > 2
    assert num_graphs() == GRAPHS + 1


def test_another_shape_costs_one_graph_a_region_and_coming_back_costs_none() -> None:
    network = large(layer_drop=0.0)
    model = compile_network(network)
    gradients(model, batch_for(network))
    gradients(model, batch_for(network, num_samples=1900))
    assert num_graphs() == 2 * GRAPHS
    with torch._dynamo.config.patch(error_on_recompile=True):
        for num_samples in (2500, 1900):
            gradients(model, batch_for(network, num_samples=num_samples))


def test_dropped_layers_are_called_with_their_hooks_and_get_zero_gradients() -> None:
    network = base(layer_drop=1.0)
    model = compile_network(network)
    called: list[int] = []
    for number, layer in enumerate(model.encoder.layers):
        layer.register_forward_hook(lambda *_, number=number: called.append(number))
    _, found = gradients(model, batch_for(network))
    assert called == [0, 1, 2]
    assert all(not found[name].any() for name in found if name.startswith("encoder.layers"))
    assert num_graphs() == GRAPHS - 1


def test_recomputed_layers_give_the_same_gradients_under_dropout() -> None:
    network = base(dropout=0.1, attention_dropout=0.1)
    batch, found = batch_for(network), []
    for recompute in (False, True):
        torch.manual_seed(0)
        found.append(gradients(compile_network(network, checkpoint_activations=recompute), batch))
    assert found[0][0] == found[1][0]
    assert distance(found[0][1], found[1][1]) == 0


def test_validation_is_not_compiled() -> None:
    model = compile_network(base()).eval()
    with torch.no_grad():
        model(batch_for(base()), with_unmasked=True)
    assert num_graphs() == 0


def test_shapes_past_the_limit_are_computed_uncompiled_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(regions, "MAX_SHAPES", 1)
    network = base()
    model = compile_network(network, "eager")
    gradients(model, batch_for(network))
    with caplog.at_level(logging.WARNING):
        for num_samples in (1900, 1950):
            batch = batch_for(network, num_samples=num_samples)
            loss, _ = gradients(model, batch)
            expected, _ = gradients(lively(network).train(), batch)
            operations = num_operations(network, batch.mask.shape[1])
            assert loss == pytest.approx(expected.item(), rel=relative_tolerance(operations))
    assert num_graphs() == GRAPHS
    warned = [record.getMessage() for record in caplog.records if "shapes" in record.getMessage()]
    assert len(warned) == GRAPHS  # once a region
    assert "crop_frames_multiple" in warned[0]


def test_a_compiled_networks_file_has_plain_names(tmp_path: Path) -> None:
    model = compile_network(base(), "eager", checkpoint_activations=True)
    gradients(model, batch_for(base()))
    save_model(model, tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert names == lively(base()).state_dict().keys()
