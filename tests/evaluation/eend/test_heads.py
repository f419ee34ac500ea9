"""What holds for each end-to-end diarizer: it learns, it is the same alone and in a batch, and any block will do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.eend.contract import LearnsSpeakers, Truth
from wavlm.evaluation.heads.eend.make import make_eend
from wavlm.evaluation.tasks.task import Size
from wavlm.specs.eend import ChainHead, EdaHead, EendHead, FrameEncoderSpec, GlobalLocalHead, VectorHead

ENCODER = FrameEncoderSpec(width=16, layers=1, attention_heads=2, feed_forward=32, dropout=0.0, frame_ms=40)
SIZE = Size(2, 8, 320)
HEADS: dict[str, EendHead] = {
    "eend_eda": EdaHead(type="eend_eda", encoder=ENCODER, max_speakers=6),
    "sc_eend": ChainHead(type="sc_eend", encoder=ENCODER, max_speakers=6),
    "eend_vc": VectorHead(type="eend_vc", encoder=ENCODER, embedding=8),
    "eend_gla": GlobalLocalHead(type="eend_gla", encoder=ENCODER, max_speakers=6, embedding=8, local_seconds=0.8),
}


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> LearnsSpeakers:
    torch.manual_seed(0)
    made = make_eend(SIZE, HEADS[request.param], num_speakers=4)
    assert isinstance(made, LearnsSpeakers)
    return made


def make_block(seed: int, num_speakers: int, num_frames: int = 200) -> tuple[Tensor, Truth]:
    """States (S, F, D) in which each speaker has a direction of its own, and who speaks: turns of 0.4 s to 1.2 s."""
    rng = np.random.default_rng(seed)
    active = np.zeros((num_frames // 2, num_speakers), np.float32)  # frames of 40 ms
    at = 0
    while at < len(active):
        length = int(rng.integers(10, 30))
        active[
            at : at + length, rng.choice(num_speakers, int(rng.integers(0, 3)) % (num_speakers + 1), replace=False)
        ] = 1
        at += length
    for speaker in range(num_speakers):
        active[speaker * 4 : speaker * 4 + 4, speaker] = 1  # all speak
    directions = np.eye(8, dtype=np.float32)[:num_speakers] * 3
    frames = active.repeat(2, axis=0) @ directions + rng.normal(size=(num_frames, 8)).astype(np.float32) * 0.3
    return torch.from_numpy(np.stack([frames, frames])), Truth(torch.from_numpy(active), tuple(range(num_speakers)))


def train(head: LearnsSpeakers, updates: int) -> list[float]:
    """Fit a head to blocks of two speakers; the losses."""
    assert isinstance(head, nn.Module)
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    losses = []
    for update in range(updates):
        blocks = [make_block(update * 8 + number, 2) for number in range(8)]
        states, truths = torch.stack([it for it, _ in blocks]), [truth for _, truth in blocks]
        loss = head.loss(states, torch.full((8,), 200), truths, update)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.full
def test_a_head_learns_who_speaks(head: LearnsSpeakers) -> None:
    """Blocks that it has not seen: fewer wrong frames than before, and than where overlap and silence are."""
    assert isinstance(head, nn.Module)
    untrained, trivial = wrong_frames(head), 0
    train(head, 120)
    found = wrong_frames(head)
    for seed in range(10):
        activity = make_block(10_000 + seed, 2)[1].activity
        trivial += int((activity.sum(1) != 1).sum())  # if one speaker always spoke, and it were always the right one
    assert found < untrained / 2
    assert found < trivial


def wrong_frames(head: LearnsSpeakers) -> int:
    """Errors of frames, in the best order of speakers, over ten blocks."""
    from wavlm.evaluation.tasks.activity import frame_errors

    assert isinstance(head, nn.Module)
    head.eval()
    total = 0
    for seed in range(10):
        states, truth = make_block(10_000 + seed, 2)
        with torch.inference_mode():
            (found,) = head.find_speakers(states[None], torch.tensor([200]))
        total += frame_errors(truth.activity.numpy() > 0, found.activities > 0.5)[0]
    head.train()
    return total


def test_a_block_is_the_same_alone_and_beside_a_longer_one(head: LearnsSpeakers) -> None:
    assert isinstance(head, nn.Module)
    head.eval()
    short, long = make_block(1, 2, 130)[0], make_block(2, 3, 200)[0]
    both = nn.utils.rnn.pad_sequence([short.transpose(0, 1), long.transpose(0, 1)], batch_first=True).transpose(1, 2)
    with torch.inference_mode():
        (alone,) = head.find_speakers(short[None], torch.tensor([130]))
        together, _ = head.find_speakers(both, torch.tensor([130, 200]))
    np.testing.assert_allclose(together.activities, alone.activities, atol=1e-5)
    if alone.embeddings is not None:
        assert together.embeddings is not None
        np.testing.assert_allclose(together.embeddings, alone.embeddings, atol=1e-5)


@pytest.mark.parametrize("num_speakers", [0, 1, 5])
def test_any_number_of_speakers_has_a_loss_and_finite_gradients(head: LearnsSpeakers, num_speakers: int) -> None:
    """Silence, one speaker, and more speakers than the local ones, beside a block of two."""
    assert isinstance(head, nn.Module)
    blocks = [make_block(3, num_speakers), make_block(4, 2)]
    truths = [Truth(truth.activity, tuple(it % 4 for it in truth.speakers)) for _, truth in blocks]
    loss = head.loss(torch.stack([states for states, _ in blocks]), torch.tensor([200, 200]), truths, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [it.grad for it in head.parameters() if it.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(it).all()) for it in (loss, *gradients))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 39, 41])
def test_short_blocks_are_diarized(head: LearnsSpeakers, num_frames: int) -> None:
    assert isinstance(head, nn.Module)
    head.eval()
    with torch.inference_mode():
        (found,) = head.find_speakers(torch.randn(1, 2, num_frames, 8), torch.tensor([num_frames]))
    assert len(found.activities) == -(-num_frames * 320 // head.activity_hop_samples)
    assert np.isfinite(found.activities).all()


def test_the_same_seed_gives_the_same_loss(head: LearnsSpeakers) -> None:
    states, truth = make_block(5, 3)
    arguments = (states[None], torch.tensor([200]), [truth])
    assert float(head.loss(*arguments, 7).detach()) == float(head.loss(*arguments, 7).detach())
