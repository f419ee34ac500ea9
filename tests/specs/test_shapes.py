"""Frame counts against the closed form and against real convolutions."""

import pytest
import torch

from wavlm.specs import ConvLayer
from wavlm.specs.shapes import num_frames, receptive_field


def test_the_papers_stack_equals_the_closed_form() -> None:
    for num_samples in range(1000):
        closed = (num_samples - 400) // 320 + 1 if num_samples >= 400 else 0
        assert num_frames(num_samples) == closed, num_samples
    assert (num_frames(250_000), num_frames(32_000)) == (781, 99)


@pytest.mark.parametrize("sizes", [((10, 5), (3, 2)), ((1, 3),), ((4, 1), (1, 4), (5, 2))])
def test_any_stack_equals_its_convolutions(sizes: tuple[tuple[int, int], ...]) -> None:
    layers = [ConvLayer(channels=1, kernel=k, stride=s) for k, s in sizes]
    shortest = receptive_field(layers)
    convs = torch.nn.Sequential(*(torch.nn.Conv1d(1, 1, k, s) for k, s in sizes))
    assert num_frames(shortest, layers) == 1
    assert num_frames(shortest - 1, layers) == 0
    for num_samples in range(shortest, shortest + 60):
        assert num_frames(num_samples, layers) == convs(torch.zeros(1, 1, num_samples)).shape[2]
