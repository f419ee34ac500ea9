"""Frame counts against the closed form and against real convolutions."""

from pathlib import Path

import pytest
import torch

from wavlm.specs import ConvLayer
from wavlm.specs.shapes import find_frames_mismatch, num_frames, num_labels, receptive_field, sample_rate_of
from wavlm.specs.yaml import read_network

NETWORKS = Path(__file__).parents[2] / "data_specs" / "networks"


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


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000])
def test_shipped_networks_make_a_frame_of_25_ms_every_20_ms_at_their_rate(rate_hz: int) -> None:
    name = "tiny" if rate_hz == 16000 else f"tiny-{rate_hz // 1000}khz"
    layers = read_network(NETWORKS / f"{name}.yaml").conv_layers
    assert sample_rate_of(layers) == rate_hz
    assert receptive_field(layers) == 0.025 * rate_hz
    convs = torch.nn.Sequential(*(torch.nn.Conv1d(1, 1, layer.kernel, layer.stride) for layer in layers))
    window, hop = rate_hz // 40, rate_hz // 50
    for num_samples in (window, window + hop - 1, window + hop, 3 * rate_hz + 7):
        frames = convs(torch.zeros(1, 1, num_samples)).shape[2]
        assert frames == num_frames(num_samples, layers) == num_labels(num_samples, 50, rate_hz)
        assert num_labels(num_samples, 100, rate_hz) in (2 * frames - 1, 2 * frames)
    assert find_frames_mismatch(layers, rate_hz) is None
    assert all(find_frames_mismatch(layers, other) for other in (8000, 16000, 24000, 48000) if other != rate_hz)
