"""Losses of end-to-end diarizers against brute force and closed forms."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from wavlm.evaluation.heads.eend.activity_loss import best_entropy, find_order, take
from wavlm.evaluation.heads.eend.chain import ChainDiarizer
from wavlm.evaluation.heads.eend.contract import Truth
from wavlm.evaluation.heads.eend.encoder import Encoded, interpolate
from wavlm.evaluation.heads.eend.global_local import contrast
from wavlm.evaluation.heads.eend.vector import VectorDiarizer
from wavlm.evaluation.tasks.task import Size
from wavlm.specs.eend import ChainHead, FrameEncoderSpec, VectorHead

pytestmark = pytest.mark.numeric
TINY = FrameEncoderSpec(width=8, layers=1, attention_heads=2, feed_forward=8, dropout=0.0, frame_ms=20)
SIZE = Size(2, 5, 320)


def entropy(logit: float, wanted: float) -> float:
    """Binary cross entropy of one number."""
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if wanted else 1 - probability)


@pytest.mark.parametrize("num_speakers", [1, 2, 3, 5])
def test_the_order_is_the_best_of_all(num_speakers: int) -> None:
    rng = np.random.default_rng(num_speakers)
    logits = torch.from_numpy(rng.normal(size=(20, num_speakers)))
    activity = torch.from_numpy((rng.random((20, num_speakers)) < 0.4).astype(np.float64))
    of_orders = {
        order: sum(
            entropy(float(logits[frame, output]), float(activity[frame, speaker])) / num_speakers
            for frame in range(20)
            for output, speaker in enumerate(order)
        )
        for order in permutations(range(num_speakers))
    }
    best = min(of_orders, key=of_orders.__getitem__)
    found, order = best_entropy(logits, activity)
    assert tuple(order) == best
    assert float(found) == pytest.approx(of_orders[best], rel=1e-9)


def test_outputs_of_nobody_should_be_silent() -> None:
    logits = torch.tensor([[-9.0, 9.0, -9.0], [-9.0, 9.0, -9.0]])
    activity = torch.ones(2, 1)
    order = find_order(logits, activity)
    assert order == [-1, 0, -1]
    assert take(activity, order).tolist() == [[0, 1, 0], [0, 1, 0]]


def test_frames_are_interpolated_between_their_middles() -> None:
    """20 ms to 40 ms: means of pairs; 10 ms to 100 ms: what lies at the middle of ten; 20 ms to 20 ms: the same."""
    frames = torch.arange(12.0).view(1, 12, 1)
    found, lengths = interpolate(frames, torch.tensor([12]), 320, 640)
    assert (found.flatten().tolist(), lengths.tolist()) == ([0.5, 2.5, 4.5, 6.5, 8.5, 10.5], [6])
    found, lengths = interpolate(frames, torch.tensor([12]), 160, 1600)
    assert (found.flatten().tolist(), lengths.tolist()) == ([4.5, 11.0], [2])  # the second has two frames left
    found, _ = interpolate(frames, torch.tensor([12]), 320, 320)
    assert torch.equal(found, frames)


def test_a_chain_is_told_who_spoke_before() -> None:
    """The LSTM cell step by step in NumPy, each speaker with the truth about the one before, the last one silent."""
    torch.manual_seed(0)
    head = ChainDiarizer(SIZE, ChainHead(type="sc_eend", encoder=TINY)).eval()
    frames = torch.randn(6, 8)
    activity = torch.tensor([[1.0, 0], [1, 1], [0, 1], [0, 1], [1, 0], [0, 0]])
    target = take(activity, [1, 0, -1])
    found = head.run(frames, 3, target)

    parameters = {name: it.detach().double().numpy() for name, it in head.named_parameters()}
    hidden, cell = np.zeros((6, 8)), np.zeros((6, 8))
    before = np.zeros((6, 1))
    for number in range(3):
        inputs = np.concatenate([frames.double().numpy(), before], axis=1)
        gates = inputs @ parameters["step.weight_ih"].T + parameters["step.bias_ih"]
        gates += hidden @ parameters["step.weight_hh"].T + parameters["step.bias_hh"]
        enters, forgets, new, leaves = np.split(gates, 4, axis=1)
        cell = cell / (1 + np.exp(-forgets)) + np.tanh(new) / (1 + np.exp(-enters))
        hidden = np.tanh(cell) / (1 + np.exp(-leaves))
        logits = hidden @ parameters["output.weight"].T + parameters["output.bias"]
        np.testing.assert_allclose(found[:, number : number + 1].detach().numpy(), logits, atol=1e-5)
        before = target[:, number : number + 1].double().numpy()


def test_vectors_of_speakers_are_weighted_means_of_unit_vectors() -> None:
    """Kinoshita et al. 2021, restated with loops; the padding of the second utterance does not count."""
    torch.manual_seed(1)
    spec = VectorHead(type="eend_vc", encoder=TINY, local_speakers=2, embedding=3)
    head = VectorDiarizer(SIZE, spec, num_speakers=4)
    frames, lengths = torch.randn(2, 7, 8), (7, 4)
    logits, embeddings = head.compute(Encoded(frames, torch.tensor(lengths)))
    vectors = head.vectors(frames).view(2, 7, 2, 3).detach().double().numpy()
    weights = torch.sigmoid(logits).detach().double().numpy()
    for row, length in enumerate(lengths):
        for speaker in range(2):
            total = np.zeros(3)
            for frame in range(length):
                vector = vectors[row, frame, speaker]
                total += weights[row, frame, speaker] * vector / np.linalg.norm(vector)
            wanted = total / np.linalg.norm(total)
            np.testing.assert_allclose(embeddings[row, speaker].detach().numpy(), wanted, atol=1e-5)

    table = head.table.weight.detach().double().numpy()
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    alpha, beta = float(head.alpha.detach()), float(head.beta.detach())
    ours = embeddings[0].detach().double().numpy()
    scores = np.array([[-(alpha * np.sum((it - other) ** 2) + beta) for other in table] for it in ours])
    losses = [math.log(np.exp(row).sum()) - row[wanted] for row, wanted in zip(scores, (3, 1), strict=True)]
    assert float(head.speaker_loss(embeddings[0], (3, 1)).detach()) == pytest.approx(sum(losses) / 2, rel=1e-5)
    assert float(head.speaker_loss(embeddings[0], (3, -1)).detach()) == pytest.approx(losses[0] / 2, rel=1e-5)
    assert float(head.speaker_loss(embeddings[0], (-1, -1)).detach()) == 0


def test_those_who_speak_most_are_kept_where_too_many_speak() -> None:
    torch.manual_seed(2)
    spec = VectorHead(type="eend_vc", encoder=TINY, local_speakers=2, embedding=3, speaker_weight=0.0)
    head = VectorDiarizer(SIZE, spec, num_speakers=3)
    activity = torch.zeros(10, 3)
    activity[:8, 0], activity[:1, 1], activity[4:, 2] = 1, 1, 1
    states, num_frames = torch.randn(1, 2, 10, 5), torch.tensor([10])
    found = head.loss(states, num_frames, [Truth(activity, (0, 1, 2))], 0)
    kept = head.loss(states, num_frames, [Truth(activity[:, [0, 2]], (0, 2))], 0)
    assert float(found.detach()) == float(kept.detach())


def test_contrast_pulls_one_speaker_together_and_pushes_two_apart_within_a_recording() -> None:
    vectors = torch.tensor([[1.0, 0], [0.6, 0.8], [1.0, 0], [0.8, 0.6]])
    # The first three are of one recording, two of them of speaker 7; the last is of another recording.
    near = (0.4**2 + 0.8**2) / 2  # 0 and 1
    far = [max(0.0, 1 - 0.0) ** 2 / 2, max(0.0, 1 - math.sqrt(0.4**2 + 0.8**2)) ** 2 / 2]  # 0 and 2, 1 and 2
    found = contrast(vectors, [7, 7, 3, 7], [0, 0, 0, 1], margin=1.0)
    assert float(found) == pytest.approx(near + sum(far) / 2, abs=1e-5)
    assert float(contrast(vectors[:1], [7], [0], margin=1.0)) == 0


def test_losses_of_embeddings_have_gradients_where_vectors_are_equal() -> None:
    vectors = nn.Parameter(torch.ones(3, 2))
    contrast(vectors, [0, 0, 1], [0, 0, 0], margin=1.0).backward()
    assert vectors.grad is not None
    assert bool(torch.isfinite(vectors.grad).all())
