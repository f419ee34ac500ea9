"""wav2vec 2.0's head and loss against transformers, against a loop, and where transformers has nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2 import modeling_wav2vec2

from tests.nn.networks import base, large
from tests.tiny_specs import tiny_training
from wavlm.export.mapping import CONTRASTIVE_HEAD, NEW_HF_NAMES, encoder_rows, from_layout, to_layout
from wavlm.nn import Contrast, ContrastiveTerms, WavLM
from wavlm.nn import quantizer as quantizers
from wavlm.specs import Contrastive, NetworkSpec, QuantizerSpec
from wavlm.train.contrastive import draw_negatives, micro_batch_loss

pytestmark = pytest.mark.numeric

SPEC = Contrastive(type="contrastive", quantizer=QuantizerSpec(codebooks=2, entries=7, width=8), num_negatives=9)
TRAINING = tiny_training(objective=SPEC, feature_penalty=0.0)
NUM_SAMPLES, FRAMES, ROWS = 2500, 83, 3  # FRAMES: what both networks make of the samples
TEMPERATURE = 1.7
NETWORKS = {"base": base(gated_bias=False), "large": large(gated_bias=False, conv_bias=True)}
EXACT = 1e-5  # relative to the largest number of a tensor


@dataclass(frozen=True)
class Speech:
    """A micro-batch without labels."""

    waveforms: Tensor
    mask: Tensor

    @property
    def labels(self) -> Tensor:
        raise AssertionError("a contrastive objective reads no labels")


def batch_for(kind: str, seed: int = 0) -> Speech:
    """Spans of rows with equal counts, with ragged counts, or two frames in one row and nearly all in another."""
    generator = torch.Generator().manual_seed(seed)
    waveforms = torch.randn(ROWS, NUM_SAMPLES, generator=generator)
    mask = torch.zeros(ROWS, FRAMES, dtype=torch.bool)
    if kind == "equal":
        mask[0, 3:13] = mask[1, 40:50] = mask[2, 60:70] = True
    elif kind == "ragged":
        mask[0, 3:13], mask[1, 20:51], mask[2, 60:67] = True, True, True
    else:
        mask[0, 5], mask[0, 70], mask[1, :-1], mask[2, ::3] = True, True, True, True
    return Speech(waveforms, mask)


def lively(network: NetworkSpec) -> WavLM:
    torch.manual_seed(0)
    model = WavLM(network, 0, quantizer=SPEC.quantizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.train()


def contrast_for(batch: Speech) -> Contrast:
    negatives = draw_negatives(batch.mask, SPEC.num_negatives, seed=3)
    return Contrast(negatives, TEMPERATURE, TRAINING.logit_temperature, dropout=0.0)


def in_transformers(model: WavLM) -> Wav2Vec2ForPreTraining:
    """The same network, from a config that is written here by hand, loaded strictly."""
    network, spec = model.network, SPEC.quantizer
    config = Wav2Vec2Config(
        hidden_size=network.width,
        num_hidden_layers=network.num_layers,
        num_attention_heads=network.num_heads,
        intermediate_size=network.ffn_width,
        feat_extract_norm=network.extractor_norm,
        conv_dim=[layer.channels for layer in network.conv_layers],
        conv_kernel=[layer.kernel for layer in network.conv_layers],
        conv_stride=[layer.stride for layer in network.conv_layers],
        conv_bias=network.conv_bias,
        num_feat_extract_layers=len(network.conv_layers),
        num_conv_pos_embeddings=network.position_kernel,
        num_conv_pos_embedding_groups=network.position_groups,
        do_stable_layer_norm=network.norm_first,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        feat_quantizer_dropout=0.0,
        layerdrop=0.0,
        mask_time_prob=0.5,
        num_codevectors_per_group=spec.entries,
        num_codevector_groups=spec.codebooks,
        codevector_dim=spec.width,
        proj_codevector_dim=network.projection_width,
        diversity_loss_weight=SPEC.diversity_weight,
        contrastive_logits_temperature=TRAINING.logit_temperature,
        attn_implementation="eager",
    )
    theirs = Wav2Vec2ForPreTraining(config)
    body = to_layout(model.state_dict(), encoder_rows(network), "hf")
    new = {old: name for name, old in NEW_HF_NAMES.items()}
    tensors = {f"wav2vec2.{new.get(name, name)}": tensor for name, tensor in body.items()}
    theirs.load_state_dict(tensors | to_layout(model.state_dict(), list(CONTRASTIVE_HEAD), "hf"), strict=True)
    theirs.set_gumbel_temperature(TEMPERATURE)
    return theirs.train()


@pytest.fixture(name="noise")
def _noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same Gumbel noise (B, F, G, V) in both implementations."""
    size = (ROWS, FRAMES, SPEC.quantizer.codebooks, SPEC.quantizer.entries)
    draws = torch.from_numpy(np.random.default_rng(5).gumbel(size=size)).float()

    def gumbel_softmax(logits: Tensor, tau: float, *, hard: bool) -> Tensor:
        assert hard
        soft = ((logits + draws.reshape(logits.shape)) / tau).softmax(-1)
        one = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return one + (soft - soft.detach())

    monkeypatch.setattr(modeling_wav2vec2.nn.functional, "gumbel_softmax", gumbel_softmax)
    monkeypatch.setattr(quantizers, "gumbel_noise", lambda logits: draws)


@pytest.mark.parametrize("kind", ["equal", "ragged", "extreme"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.usefixtures("noise")
def test_loss_and_every_gradient_equal_transformers_in_training(network: NetworkSpec, kind: str) -> None:
    batch, model = batch_for(kind), lively(network)
    contrast, theirs = contrast_for(batch), in_transformers(model)
    terms: ContrastiveTerms = model(batch, contrast=contrast)
    loss = micro_batch_loss(terms, TRAINING, SPEC)
    loss.backward()
    rows = torch.arange(ROWS)[:, None, None] * batch.mask.shape[1]
    found = theirs(batch.waveforms, mask_time_indices=batch.mask, sampled_negative_indices=contrast.negatives + rows)
    found.loss.backward()
    assert loss.item() == pytest.approx(found.loss.item(), rel=EXACT)
    assert terms.loss.item() == pytest.approx(found.contrastive_loss.item(), rel=EXACT)
    assert terms.soft_perplexity.item() == pytest.approx(found.codevector_perplexity.item(), rel=EXACT)
    assert terms.num_identical > 0, "this test is also about equal negatives"
    expected = gradients_of(theirs, network)
    sizes = {name: float(gradient.abs().max()) for name, gradient in expected.items()}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        allowed = EXACT * max(sizes[name], 1e-3 * max(sizes.values()))
        assert float((parameter.grad - expected.pop(name)).abs().max()) <= allowed, name
    assert not expected


def gradients_of(theirs: Wav2Vec2ForPreTraining, network: NetworkSpec) -> dict[str, Tensor]:
    """The gradients of transformers' network under this project's names."""
    found = {}
    for name, parameter in theirs.named_parameters():
        short = name.removeprefix("wav2vec2.")
        found[NEW_HF_NAMES.get(short, short)] = parameter.grad
    rows = encoder_rows(network) + list(CONTRASTIVE_HEAD)
    return from_layout(found, rows, "hf")


@pytest.mark.usefixtures("noise")
def test_the_penalty_and_the_scaled_gradient_have_their_closed_forms() -> None:
    """transformers has neither. The penalty adds 10 S mean(z^2); 0.1 in the network scales what reaches the convs."""
    batch = batch_for("ragged")
    frames, scale, weight = int(batch.mask.sum()), 0.25, 10.0
    plain, scaled = (lively(base(gated_bias=False, feature_grad_mult=mult)) for mult in (1.0, scale))
    features = plain.extractor.forward_plain(batch.waveforms)
    penalty = features.square().mean()
    (weight * frames * penalty).backward()
    of_penalty = {name: p.grad.clone() for name, p in plain.named_parameters() if p.grad is not None}
    plain.zero_grad()
    losses = []
    for model, train in ((plain, TRAINING), (scaled, TRAINING.model_copy(update={"feature_penalty": weight}))):
        losses.append(micro_batch_loss(model(batch, contrast=contrast_for(batch)), train, SPEC))
        losses[-1].backward()
    assert (losses[1] - losses[0]).item() == pytest.approx(weight * frames * penalty.item(), rel=1e-4)
    expected = dict(plain.named_parameters())
    for name, parameter in scaled.named_parameters():
        wanted = expected[name].grad
        if name.startswith("extractor."):
            wanted = scale * (wanted + of_penalty[name])
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_negatives_are_other_masked_frames_of_the_utterance_all_alike() -> None:
    mask = batch_for("ragged").mask
    negatives = draw_negatives(mask, 3000, seed=8)
    for row, frame in mask.nonzero().tolist():
        others = [place for place in mask[row].nonzero().flatten().tolist() if place != frame]
        counts = torch.bincount(negatives[row, frame], minlength=FRAMES)
        assert counts.nonzero().flatten().tolist() == others
        mean, deviation = 3000 / len(others), (3000 / len(others)) ** 0.5
        assert float((counts[others] - mean).abs().max()) < 5 * deviation
    assert torch.equal(negatives, draw_negatives(mask, 3000, seed=8))
    assert not torch.equal(negatives, draw_negatives(mask, 3000, seed=9))


def test_one_code_for_all_frames_has_the_best_loss_and_accuracy_and_the_least_perplexity() -> None:
    """Why no gate compares loss or accuracy."""
    batch, model = batch_for("equal"), lively(base(gated_bias=False)).eval()
    with torch.no_grad():
        model.head.quantizer.logits.weight.zero_()
        model.head.quantizer.logits.bias.copy_(torch.arange(14.0) * 100)
        terms = model(batch, contrast=contrast_for(batch))
    assert float(terms.loss) == pytest.approx(0, abs=1e-4)
    assert int(terms.num_correct) == int(terms.num_frames) == 30
    assert int(terms.num_identical) == 30 * SPEC.num_negatives
    assert float(terms.soft_perplexity) == pytest.approx(2, rel=1e-5)
    assert float(terms.hard_perplexity) == pytest.approx(2, rel=1e-5)


def test_the_temperature_is_that_of_the_paper_and_a_function_of_the_update() -> None:
    paper = Contrastive(type="contrastive")
    assert paper.temperature(0) == 2.0
    assert paper.temperature(100_000) == pytest.approx(2 * np.exp(100_000 * np.log(0.999995)))
    assert paper.temperature(277_257) > 0.5 == paper.temperature(277_259)
    large_one = Contrastive(type="contrastive", last_temperature=0.1)
    assert large_one.temperature(599_144) > 0.1 == large_one.temperature(599_146)
