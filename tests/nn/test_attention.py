"""Row-blocked attention against attention written out, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tests.nn.networks import base, lively
from tests.numerics import relative_tolerance
from wavlm.nn.attention import PositionBias, rows
from wavlm.nn.attention.dense import attend_dense

pytestmark = pytest.mark.numeric

BATCH, HEADS, SIZE = 3, 2, 8
# A gradient of the table sums over utterances, frames and channels; of 50 frames here.
ROUNDING = relative_tolerance(3 * BATCH * 50 * SIZE, torch.float64)


def inputs(frames: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(frames)
    shapes = [(BATCH, HEADS, frames, SIZE)] * 3 + [(BATCH, HEADS, frames), (HEADS, 2 * frames - 1)]
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def gradients(out: Tensor, of: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return list(torch.autograd.grad((out * weights).sum(), of))


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        worst = float((ours - theirs).detach().abs().max())
        assert worst <= tolerance * max(1.0, float(theirs.detach().abs().max()))


def gather_weights(shape: tuple[int, ...], dropout: rows.Dropout) -> Tensor:
    """The weights that `rows` keeps, gathered from its blocks into rows in their usual order."""
    batch, heads, frames, _ = shape
    size = max(16, rows.BLOCK_ELEMENTS // (batch * heads * frames))
    generator = dropout.generator(torch.device("cpu"))
    blocks = [
        dropout.keeps(torch.Size((batch, heads, min(size, frames - start), frames)), generator)
        for start in range(0, frames, size)
    ]
    return torch.cat([block.flip(2) for block in blocks if block is not None], dim=2)


@pytest.mark.parametrize("frames", [1, 7, 16, 33, 50])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("block_elements", [1, 1 << 21])
def test_row_blocks_equal_dense_attention_in_output_and_all_gradients(
    frames: int, ragged: bool, block_elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", block_elements)
    query, key, value, gate, table = tensors = inputs(frames)
    num_valid = torch.tensor([frames, max(1, frames // 2), 1]) if ragged else None
    bias = PositionBias(gate, table)
    ours = rows.attend((query, key, value), bias, num_valid, 0.0)
    theirs = attend_dense((query, key, value), bias, num_valid)
    assert_close([ours, *gradients(ours, tensors)], [theirs, *gradients(theirs, tensors)], ROUNDING)


@pytest.mark.parametrize("block_elements", [1, 1 << 21])
def test_dropout_is_exact_given_its_keep_mask(block_elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", block_elements)
    query, key, value, gate, table = tensors = inputs(45)
    bias = PositionBias(gate, table)
    torch.manual_seed(5)
    ours = rows.attend((query, key, value), bias, None, 0.3)
    torch.manual_seed(5)
    seed = int(torch.randint(1 << 62, (1,)))
    dropout = rows.Dropout(0.3, seed)
    keep = gather_weights((BATCH, HEADS, 45, 45), dropout)
    theirs = attend_dense((query, key, value), bias, None, keep, dropout.keep_probability)
    assert_close([ours, *gradients(ours, tensors)], [theirs, *gradients(theirs, tensors)], ROUNDING)


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5])
def test_dropout_drops_its_share_independently(probability: float) -> None:
    dropout = rows.Dropout(probability, seed=3)
    keep = gather_weights((1, 1, 1000, 1000), dropout)[0, 0].double()
    assert dropout.keep_probability == pytest.approx(1 - probability, abs=1e-5)
    error = (probability * (1 - probability) / 1e6) ** 0.5
    assert keep.mean() == pytest.approx(1 - probability, abs=4 * error)
    for lag in (1, 2, 3, 4, 1000):  # draws that share a word, and rows
        flat = keep.flatten() - keep.mean()
        correlation = (flat[lag:] * flat[:-lag]).mean() / flat.square().mean()
        assert abs(correlation) < 4e-3, lag


def test_every_call_drops_other_weights_and_a_seed_brings_them_back() -> None:
    query, key, value, *_ = inputs(20)

    def run_attention() -> Tensor:
        return rows.attend((query, key, value), None, None, 0.5)

    torch.manual_seed(1)
    first, second = run_attention(), run_attention()
    torch.manual_seed(1)
    again = run_attention()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_without_a_bias_it_is_plain_attention() -> None:
    query, key, value, *_ = tensors = inputs(40)
    ours = rows.attend((query, key, value), None, None, 0.0)
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    heads = tensors[:3]
    assert_close([ours, *gradients(ours, heads)], [theirs, *gradients(theirs, heads)], ROUNDING)


def test_fp16_survives_products_beyond_its_range() -> None:
    """q . k / sqrt(d) of 127 000 overflows fp16; divided by 32 it does not (equation 8)."""
    query = 600 * torch.eye(SIZE).expand(BATCH, HEADS, SIZE, SIZE)
    value, gate, table = (x.detach() for x in inputs(SIZE, torch.float32)[2:])
    heads = query.half(), query.half(), value.half()
    assert ((heads[0] / SIZE**0.5) @ heads[1].transpose(2, 3)).isinf().any()
    ours = rows.attend(heads, PositionBias(gate, table), None, 0.0)
    assert torch.equal(ours, heads[2])  # each query meets its own key alone


def test_saved_bytes_grow_linearly_with_frames() -> None:
    def count_saved_bytes(frames: int) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        query, key, value, gate, table = inputs(frames)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            rows.attend((query, key, value), PositionBias(gate, table), None, 0.1)
        return sum(sizes)

    assert count_saved_bytes(400) <= 1.01 * 4 * count_saved_bytes(100)


def test_a_layer_compiles_into_one_graph_with_equal_results() -> None:
    layer = lively(base()).encoder.layers[0].double()
    states, table = torch.randn(2, 30, 24).double(), torch.randn(4, 59).double()
    results = []
    for run in (layer, torch.compile(layer, backend="aot_eager", fullgraph=True)):
        layer.zero_grad()
        out = run(states, table, torch.tensor([30, 17]))
        (out * states).sum().backward()
        results.append([out, *(parameter.grad.clone() for parameter in layer.parameters())])
    assert_close(results[1], results[0], ROUNDING)


def test_the_operator_keeps_the_promises_that_compilers_rely_on() -> None:
    query, key, value, gate, table = inputs(20)
    seed = torch.tensor([3])
    for bias in ((gate, table), (None, None)):
        torch.library.opcheck(rows.row_attention, (query, key, value, *bias, torch.tensor([20, 3, 9]), seed, 0.2))


@pytest.mark.slow
def test_compiled_layers_draw_what_eager_layers_draw_also_when_computed_again() -> None:
    """Two layers: a compiler must not merge their draws, nor draw anew for the backward."""
    layer = lively(base(attention_dropout=0.4)).encoder.layers[0].double().train()
    states, table = torch.randn(2, 30, 24).double(), torch.randn(4, 59).double()

    def twice(x: Tensor) -> Tensor:
        return layer(layer(x, table, None), table, None)

    def recompute(x: Tensor) -> Tensor:
        def once(x: Tensor) -> Tensor:
            return checkpoint(layer, x, table, None, use_reentrant=False)

        return once(once(x))

    def results(run: Callable[[Tensor], Tensor]) -> list[Tensor]:
        torch.manual_seed(3)
        x = states.clone().requires_grad_()
        out = run(x)
        (gradient,) = torch.autograd.grad((out * states).sum(), x)
        return [out, gradient, torch.randint(1 << 62, (1,))]  # the generator stands where it should

    expected = results(twice)
    compiled = [torch.compile(run, backend="aot_eager", fullgraph=True) for run in (twice, recompute)]
    for run in (recompute, *compiled):
        assert_close(results(run), expected, ROUNDING)
