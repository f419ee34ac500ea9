"""The peers compute what ours computes, from the same weights."""

from __future__ import annotations

import pytest
import torch

from benchmarks.peers import CosineHead, PeerStep, TransformersPretraining, without_dropout
from benchmarks.workload import BASE, TRAIN, OurStep, crops, network
from tests.numerics import num_operations, require_close
from wavlm.specs import ConvLayer, NetworkSpec
from wavlm.train.masked_prediction import micro_batch_loss

pytestmark = pytest.mark.numeric

CONVS = tuple(ConvLayer(channels=c, kernel=k, stride=s) for c, k, s in ((12, 10, 5), (16, 3, 2), (10, 2, 3)))
SMALL = without_dropout(
    BASE,
    conv_layers=CONVS,
    width=24,
    ffn_width=40,
    num_layers=2,
    num_heads=4,
    position_kernel=8,
    position_groups=2,
    projection_width=6,
    feature_grad_mult=1.0,  # the peer has no other
)


def test_the_cosine_head_is_cross_entropy_over_cosines() -> None:
    torch.manual_seed(0)
    head = CosineHead(width=5, projection_width=3, num_clusters=7).double()
    frames, labels = torch.randn(4, 5).double(), torch.tensor([0, 6, 3, 3])
    projected = head.projection(frames)
    norms = projected.norm(dim=1)[:, None] * head.label_embeddings.norm(dim=1)
    cosines = projected @ head.label_embeddings.T / norms
    expected = -(cosines / 0.1).log_softmax(-1)[torch.arange(4), labels].sum()
    require_close(head(frames, labels).float(), expected, 3 * 3)  # the head rounds to fp32


def test_crops_are_the_same_every_time_and_whole_steps_of_16_bits() -> None:
    first, again = crops(2, 0.3, "cpu"), crops(2, 0.3, "cpu")
    assert first.seconds == pytest.approx(0.6)
    assert torch.equal(first.waveforms, again.waveforms)
    assert torch.equal(first.mask, again.mask)
    assert torch.equal(first.waveforms * 2**15, (first.waveforms * 2**15).round())


@pytest.fixture
def small() -> NetworkSpec:
    return SMALL


@pytest.mark.slow
@pytest.mark.parametrize("cosine", [True, False])
def test_loss_and_gradients_of_transformers_with_either_head_are_ours(small: NetworkSpec, cosine: bool) -> None:
    ours = network(small)
    theirs = TransformersPretraining(ours, cosine=cosine)
    batch = crops(2, 0.2, "cpu", small)
    terms = ours.forward_pretrain(batch)
    loss = micro_batch_loss(terms, TRAIN)
    expected = theirs(batch.waveforms, batch.labels, batch.mask)
    operations = num_operations(small, batch.mask.shape[1])
    require_close(loss, expected, operations)
    loss.backward()
    expected.backward()
    pairs = [
        (ours.mask_embedding, theirs.wavlm.masked_spec_embed),
        (ours.head.label_embeddings, theirs.head.label_embeddings),
        (next(ours.extractor.parameters()), next(theirs.wavlm.feature_extractor.parameters())),
    ]
    for mine, other in pairs:
        require_close(mine.grad, other.grad, 3 * operations)


def test_an_update_of_ours_is_an_update_of_the_peer(small: NetworkSpec) -> None:
    """The first rates differ; at equal ones Adam's first step is the sign of the gradient."""
    ours = network(small)
    theirs, batch = TransformersPretraining(ours), crops(2, 0.2, "cpu", small)
    before = ours.head.label_embeddings.detach().clone()
    peer = PeerStep(theirs, "fp32")
    OurStep(ours, "fp32", compiled=False).on(batch)()
    peer.on(batch)()
    mine = ours.head.label_embeddings.detach() - before
    other = theirs.head.label_embeddings.detach() - before
    large = other.abs() > 1e-6
    assert large.float().mean() > 0.9
    assert (mine.sign() == other.sign())[large].float().mean() > 0.99
