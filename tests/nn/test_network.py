"""Sizes, initial weights, gates, loss terms and layer drop of the network."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from tests.nn.networks import base, large, lively
from tests.numerics import (
    front_operations,
    mean_tolerance,
    num_operations,
    relative_tolerance,
    require_close,
    roundings,
)
from tests.tiny_specs import paper_network
from wavlm.nn import LossTerms, WavLM
from wavlm.nn.relative_position_bias import distance_buckets
from wavlm.specs import NetworkSpec
from wavlm.specs.shapes import num_frames

pytestmark = pytest.mark.numeric

PAPER_BASE, PAPER_LARGE = paper_network("base"), paper_network("large")


@dataclass(frozen=True)
class Batch:
    waveforms: Tensor
    labels: Tensor
    mask: Tensor


def batch_for(network: NetworkSpec, num_samples: int = 2500) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = (2, num_frames(num_samples, network.conv_layers))
    return Batch(
        torch.randn(2, num_samples, generator=generator),
        torch.randint(5, shape, generator=generator),
        torch.rand(shape, generator=generator) < 0.5,
    )


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("network", "encoder_only", "with_head", "gating"),
    [
        (PAPER_BASE, 94_381_936, 94_707_824, 10_224),
        (PAPER_LARGE, 315_453_120, 316_627_392, 17_984),
    ],
    ids=["base", "large"],
)
def test_parameter_counts_are_the_papers(network: NetworkSpec, encoder_only: int, with_head: int, gating: int) -> None:
    with torch.device("meta"):
        model = WavLM(network, 500)
        hubert = WavLM(network.model_copy(update={"gated_bias": False}), 500)
    assert size(model) == with_head
    assert size(model) - size(model.head) == encoder_only
    assert size(model) - size(hubert) == gating


def test_initial_weights_have_the_spread_of_section_4_4() -> None:
    torch.manual_seed(0)
    network = base(width=96, ffn_width=192, position_kernel=32, projection_width=64)
    model = WavLM(network, 400)
    encoder = model.encoder
    spreads = {
        "qkv": (encoder.layers[1].attention.qkv.weight, 0.02),
        "fc2": (encoder.layers[2].fc2.weight, 0.02),
        "gate": (encoder.layers[0].attention.gate.weight, 0.02),
        "table": (encoder.relative_position.weight, 0.02),
        "conv 1": (model.extractor.convs[1].weight, math.sqrt(2 / (12 * 3))),
        "positional": (encoder.position.v, math.sqrt(4 / (32 * 96))),
        "projection, U(-1/sqrt(n), 1/sqrt(n))": (model.projection.weight, 1 / math.sqrt(3 * 10)),
        "labels, U(0, 1)": (model.head.label_embeddings - 0.5, 1 / math.sqrt(12)),
    }
    for name, (weights, spread) in spreads.items():
        margin = 4 / math.sqrt(2 * weights.numel())  # four standard errors
        assert weights.std().item() == pytest.approx(spread, rel=margin), name
        assert abs(weights.mean().item()) < 4.5 * spread / math.sqrt(weights.numel()), name
    for name, parameter in encoder.layers.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
    norm = encoder.position.v.detach().double().square().sum((0, 1)).sqrt()
    require_close(encoder.position.g[0, 0], norm, 48 * 96)
    assert 0 <= model.mask_embedding.min() < model.mask_embedding.max() < 1


def test_buckets_are_those_of_the_closed_form_in_float64() -> None:
    found = distance_buckets(320, 800)
    for distance in range(801):
        far = 80 + int(math.log(max(distance, 1) / 80) / math.log(800 / 80) * 80)
        assert found[distance] == (distance if distance < 80 else min(159, far)), distance
    facts = {
        79: 79,
        80: 80,
        82: 80,
        83: 81,
        84: 81,
        100: 87,
        200: 111,
        400: 135,
        777: 158,
        778: 159,
    }
    assert {distance: int(found[distance]) for distance in facts} == facts


def test_the_bias_table_uses_one_side_of_the_buckets_for_later_keys() -> None:
    position = WavLM(base(num_buckets=320, max_distance=800, num_heads=1), 5).encoder.relative_position
    assert position is not None
    with torch.no_grad():
        position.weight.copy_(torch.arange(320.0)[:, None])
    table = position(1000).round().long()[0]
    distances = {-999: 159, -778: 159, -100: 87, -1: 1, 0: 0, 1: 161, 100: 247, 778: 319, 999: 319}
    assert {distance: int(table[999 + distance]) for distance in distances} == distances
    assert 160 not in table


def test_a_log_scale_with_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="max_distance 80 must be above num_buckets / 4 = 80"):
        WavLM(base(num_buckets=320, max_distance=80), 5)


def test_gates_start_at_seven_quarters_and_each_layer_gates_the_ungated_table() -> None:
    """u = r = 1/2 and s = 1 give u (r s - 1) + 2 = 1.75 in every layer: gates do not compound."""
    model = WavLM(base(), 5)
    for layer in model.encoder.layers:
        nn.init.zeros_(layer.attention.gate.weight)
    seen: list[tuple[Tensor, Tensor]] = []
    for layer in model.encoder.layers:
        plain = layer.attention.attend

        def watching(heads, bias, num_valid, dropout, plain=plain):  # type: ignore[no-untyped-def]
            seen.append((bias.gate, bias.table))
            return plain(heads, bias, num_valid, dropout)

        layer.attention.attend = watching
    with torch.no_grad():
        model.hidden_states(batch_for(base()).waveforms)
        expected = model.encoder.relative_position(seen[0][0].shape[2])
    assert len(seen) == 3
    for gate, table in seen:
        assert torch.all(gate == 1.75)
        assert torch.equal(table, expected)


def explicit_loss(model: WavLM, frames: Tensor, labels: Tensor) -> float:
    """fairseq's form in float64: the positive beside all classes but its own row, target 0."""
    head = model.head
    total = 0.0
    for frame, label in zip(frames.double(), labels.tolist(), strict=True):
        projected = head.projection.weight.double() @ frame + head.projection.bias.double()
        cosines = [
            float(projected @ row / (projected.norm() * row.norm())) / 0.1 for row in head.label_embeddings.double()
        ]
        positive = cosines[label + head.first_label]
        negatives = [c for i, c in enumerate(cosines) if i != label + head.first_label]
        total -= positive - math.log(sum(math.exp(c) for c in [positive, *negatives]))
    return total


@pytest.mark.parametrize("special_symbols", [0, 4])
@torch.no_grad()
def test_loss_terms_equal_an_explicit_float64_computation(special_symbols: int) -> None:
    network = large(special_symbols=special_symbols)
    model, batch = lively(network), batch_for(network)
    terms: LossTerms = model.forward_pretrain(batch, with_unmasked=True)

    features = model.extractor(batch.waveforms)
    assert terms.feature_penalty.item() == pytest.approx(features.double().square().mean().item())
    x = model.projection(model.feature_norm(features))
    x[batch.mask] = model.mask_embedding
    last = model.encoder(x, None, [True] * 3)[-1]
    output = model.encoder.norm(last)  # the head sees the final norm in the pre-norm style
    for found, where in ((terms.masked, batch.mask), (terms.unmasked, ~batch.mask)):
        assert found is not None
        frames, labels = output[where], batch.labels[where]
        assert found.loss.item() == pytest.approx(
            explicit_loss(model, frames, labels),
            rel=relative_tolerance(network.width + network.projection_width),
        )
        assert found.num_frames.item() == where.sum().item()
        best = model.head.logits(frames, 0.1).argmax(-1) - special_symbols
        assert found.num_correct.item() == (best == labels).sum().item()


def test_a_fresh_head_of_504_classes_starts_near_the_measured_6_29_nats() -> None:
    torch.manual_seed(0)
    network = base(projection_width=256, special_symbols=4)
    head = WavLM(network, 500).eval().head
    with torch.no_grad():
        found = head(torch.randn(2000, network.width), torch.randint(500, (2000,)), 0.1)
    assert found.losses.mean().item() == pytest.approx(6.29, abs=0.1)


def test_masked_frames_reach_the_encoder_as_the_mask_embedding_alone() -> None:
    model, batch = lively(base()), batch_for(base())
    everything = Batch(batch.waveforms, batch.labels, torch.ones_like(batch.mask))
    other = Batch(torch.randn_like(batch.waveforms), batch.labels, everything.mask)
    with torch.no_grad():
        ours, others = model(everything).masked, model(other).masked
    assert ours.loss == others.loss
    assert ours.num_frames == batch.mask.numel()


def test_feature_gradients_are_scaled_before_the_penalty_is_taken() -> None:
    """Conv gradients scale with feature_grad_mult; what follows the features keeps its own."""
    full, scaled = lively(base()), lively(base(feature_grad_mult=0.1))
    for model in (full, scaled):
        terms = model(batch_for(base()))
        (terms.masked.loss + 10 * terms.feature_penalty * terms.masked.num_frames).backward()
    for ours, theirs in zip(full.extractor.parameters(), scaled.extractor.parameters(), strict=True):
        require_close(0.1 * ours.grad, theirs.grad, 3 * front_operations(base()))
    operations = 3 * num_operations(base(), 83)
    require_close(full.projection.weight.grad, scaled.projection.weight.grad, operations)


@pytest.mark.parametrize("network", [base(layer_drop=1.0), large(layer_drop=1.0)])
def test_dropped_layers_do_nothing_and_still_get_gradients(network: NetworkSpec) -> None:
    model, batch = lively(network).train(), batch_for(network)
    terms = model(batch)
    terms.masked.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if name.startswith("encoder.layers") or "relative_position" in name:
            assert not parameter.grad.any(), name
    states = model.encoder(torch.randn(1, 20, network.width), None, [False] * 3)
    assert all(torch.equal(state, states[0]) for state in states)


def test_layer_drop_takes_its_share_and_none_in_eval() -> None:
    model = lively(base(layer_drop=0.25, num_layers=4)).train()
    torch.manual_seed(0)
    kept = [keep for _ in range(500) for keep in model._draw_kept_layers()]
    assert sum(kept) / len(kept) == pytest.approx(0.75, abs=0.04)
    assert model.eval()._draw_kept_layers() == [True] * 4


def test_a_batch_without_masked_frames_still_gives_every_parameter_a_gradient() -> None:
    model, batch = lively(base()).train(), batch_for(base())
    terms = model(Batch(batch.waveforms, batch.labels, torch.zeros_like(batch.mask)))
    (terms.masked.loss + terms.feature_penalty * terms.masked.num_frames).backward()
    assert terms.masked.loss == 0
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("num_masked", [0, 1, 40, 166])
@pytest.mark.parametrize("extra", [0, 1, 120])
def test_room_beyond_the_masked_frames_changes_no_sum_and_no_gradient(num_masked: int, extra: int) -> None:
    batch, found = batch_for(base()), []
    mask = torch.zeros(batch.mask.numel(), dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=torch.Generator().manual_seed(1))[:num_masked]] = True
    masked = Batch(batch.waveforms, batch.labels, mask.view_as(batch.mask))
    for room in (None, min(len(mask), num_masked + extra)):
        model = lively(base())
        terms = model(masked, max_masked=room).masked
        terms.loss.backward()
        found.append((terms, model.head.projection.weight.grad, model.projection.weight.grad))
    (exact, *gradients), (roomy, *others) = found
    assert roomy.num_frames == exact.num_frames == num_masked
    assert roomy.num_correct == exact.num_correct
    assert roomy.loss.item() == pytest.approx(exact.loss.item(), rel=relative_tolerance(30))
    for one, other in zip(gradients, others, strict=True):
        require_close(other, one, 3 * num_operations(base(), 83))


def test_frames_that_are_not_masked_have_no_part_in_the_prediction() -> None:
    """Beside the masked ones, their labels may be anything, whatever the room."""
    model, batch = lively(base()), batch_for(base())
    other = Batch(batch.waveforms, torch.where(batch.mask, batch.labels, 0), batch.mask)
    for room in (None, batch.mask.numel()):
        ours, theirs = (model(b, max_masked=room).masked for b in (batch, other))
        assert (ours.loss, ours.num_correct) == (theirs.loss, theirs.num_correct)


def test_labels_that_do_not_fit_the_frames_are_refused() -> None:
    model, batch = lively(base()), batch_for(base())
    with pytest.raises(ValueError, match=r"labels \(2, 82\) .* \(utterances, frames\) = \(2, 83\)"):
        model(Batch(batch.waveforms, batch.labels[:, 1:], batch.mask))


def test_bf16_autocast_stays_close_and_keeps_the_loss_in_fp32() -> None:
    model, batch = lively(large()), batch_for(large())
    exact = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(batch)
        rough.masked.loss.backward()
    assert rough.masked.loss.dtype == rough.feature_penalty.dtype == torch.float32
    allowed = mean_tolerance(roundings(3), int(batch.mask.sum()), torch.bfloat16)
    assert rough.masked.loss.item() == pytest.approx(exact.masked.loss.item(), rel=allowed)
