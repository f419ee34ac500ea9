"""On a GPU: what no interpreter shows. Sizes of training, bits that repeat, inductor's code."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.nn.networks import base, large, lively
from tests.nn.test_attention import assert_close
from tests.nn.test_compile import distance, gradients
from tests.nn.test_front import Style, each_style, require_equal, waveforms
from tests.nn.test_network import Batch, batch_for
from wavlm.engine.ranks import join_ranks
from wavlm.engine.wrap import prepare_network
from wavlm.execution.runtime import Runtime
from wavlm.nn import WavLM
from wavlm.nn.attention import PositionBias
from wavlm.nn.attention.dense import attend_dense
from wavlm.specs import NetworkSpec, paper_conv_layers

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore"),  # the compiler's, which differ from version to version
]
DEVICE = "cuda"
REPEATS = 10
# Heads of 64 and widths that fill tensor cores; dropout is given where it is wanted.
SIZES = {"width": 256, "ffn_width": 512, "num_heads": 4, "conv_layers": paper_conv_layers(128)}
STYLES = [pytest.param(base(**SIZES), id="base"), pytest.param(large(**SIZES), id="large")]


@pytest.fixture(autouse=True)
def _as_in_training() -> None:
    with join_ranks(Runtime(gpus=int(DEVICE == "cuda"))):
        pass  # leaves the settings of a trainer behind


def to_gpu(batch: Batch) -> Batch:
    return replace(
        batch,
        waveforms=batch.waveforms.to(DEVICE),
        labels=batch.labels.to(DEVICE),
        mask=batch.mask.to(DEVICE),
    )


def model_of(network: NetworkSpec, **runtime: bool) -> WavLM:
    model = lively(network).to(DEVICE).train()
    prepare_network(model, Runtime(**runtime))
    return model


def test_attention_of_a_whole_batch_equals_dense_attention_and_itself() -> None:
    """Thousands of programs at once, as the paper's batch has them: races would show."""
    from wavlm.nn.attention import flash

    batch, heads, frames, size, dropout = 13, 12, 749, 64, 0.1
    generator = torch.Generator(DEVICE).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=DEVICE)

    products = normal(batch, frames, 3, heads, size).bfloat16().permute(2, 0, 3, 1, 4)
    inputs = [*products, normal(batch, heads, frames), normal(heads, 2 * frames - 1)]
    d_out = normal(batch, heads, frames, size)
    seed = torch.tensor([5])

    def run() -> list[Tensor]:
        leaves = [x.detach().requires_grad_() for x in inputs]
        out, _ = flash.flash_attention(*leaves, None, seed, dropout)
        return [out, *torch.autograd.grad((out.float() * d_out).sum(), leaves)]

    first = run()
    for _ in range(REPEATS):
        assert all(torch.equal(a, b) for a, b in zip(first, run(), strict=True))
    steps = flash.num_kept_levels(dropout)
    words = flash.draw_kept(inputs[0], steps, 5)
    key = torch.arange(frames, device=DEVICE)
    d_table = torch.zeros_like(inputs[4], dtype=torch.float64)
    for row in range(batch):  # all at once, the dense form takes gigabytes
        keep = (words[row : row + 1, ..., key // 32] >> (key % 32)) & 1 == 1
        exact = [x[row : row + 1].double().requires_grad_() for x in inputs[:4]]
        table = inputs[4].double().requires_grad_()
        bias = PositionBias(exact[3], table)
        out = attend_dense(tuple(exact[:3]), bias, None, keep, steps / 4096)
        *found, of_table = torch.autograd.grad((out * d_out[row : row + 1]).sum(), [*exact, table])
        d_table += of_table
        ours = [x[row : row + 1].double() for x in first[:5]]
        assert_close(ours, [out, *found], 3e-2)
    assert_close([first[5].double()], [d_table], 3e-2)


@each_style
def test_the_front_of_the_paper_equals_a_chain_of_modules(style: Style) -> None:
    module = lively(style(conv_layers=paper_conv_layers(512))).extractor.to(DEVICE)
    require_equal(module, waveforms(48_000, 3).to(DEVICE), tolerance=1e-5)


@pytest.mark.parametrize("network", STYLES)
def test_two_updates_of_the_whole_network_have_the_same_bits(network: NetworkSpec) -> None:
    changed = network.model_copy(update={"dropout": 0.1, "attention_dropout": 0.1})
    model, batch, found = model_of(changed), to_gpu(batch_for(changed, 64_000)), []
    for _ in range(REPEATS):
        torch.manual_seed(0)
        loss, grads = gradients(model, batch, bf16=True)
        found.append([loss, *grads.values()])
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], again, strict=True))


@pytest.mark.parametrize("network", STYLES)
def test_inductor_computes_what_eager_does(network: NetworkSpec) -> None:
    batch = to_gpu(batch_for(network, 64_000))
    exact_loss, exact = gradients(model_of(network), batch)
    loss, ours = gradients(model_of(network, compile=True), batch)
    assert loss.item() == pytest.approx(exact_loss.item(), rel=1e-5)
    assert distance(ours, exact) < 1e-4
    _, eager = gradients(model_of(network), batch, bf16=True)
    _, ours = gradients(model_of(network, compile=True), batch, bf16=True)
    assert 0 < distance(eager, exact) < 1  # weights this lively multiply every rounding
    assert distance(ours, exact) < 2 * distance(eager, exact)


@pytest.mark.parametrize("compiles", [False, True])
def test_recomputed_layers_drop_the_same(compiles: bool) -> None:
    network = base(**SIZES, dropout=0.1, attention_dropout=0.1)
    batch, found = to_gpu(batch_for(network, 64_000)), []
    for recomputes in (False, True):
        model = model_of(network, compile=compiles, checkpoint_activations=recomputes)
        torch.manual_seed(0)
        found.append(gradients(model, batch, bf16=True))
    assert found[0][0] == found[1][0]
    assert distance(found[0][1], found[1][1]) < 1e-6
