"""Frame counts against the closed form and against real convolutions."""

from pathlib import Path

import pytest
import torch

from tests.tiny_specs import tiny_network
from wavlm.specs import ConvLayer, ExternalLabelsSpec
from wavlm.specs.frames import FrameGrid, labels_per_frame, num_labels, receptive_field, sample_rate_of
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.shapes import num_frames
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
    network = read_network(NETWORKS / f"{name}.yaml")
    layers, grid = network.conv_layers, FrameGrid.of(network)
    assert sample_rate_of(network) == rate_hz
    assert receptive_field(layers) == 0.025 * rate_hz
    convs = torch.nn.Sequential(*(torch.nn.Conv1d(1, 1, layer.kernel, layer.stride) for layer in layers))
    window, hop = rate_hz // 40, rate_hz // 50
    for num_samples in (window, window + hop - 1, window + hop, 3 * rate_hz + 7):
        frames = convs(torch.zeros(1, 1, num_samples)).shape[2]
        assert frames == num_frames(num_samples, layers) == num_labels(num_samples, 50, grid)
        assert num_labels(num_samples, 100, grid) in (2 * frames - 1, 2 * frames)
    assert grid == FrameGrid.standard(rate_hz)
    assert grid.is_standard


# Rate, kernels and strides; what of them is expected: samples that a frame sees and skips, and frames per second.
STACKS = {
    "44.1 kHz, 50 Hz": (44100, (10, 10, 4, 4, 2), (7, 7, 3, 3, 2), 1102, 882, 50),
    "MERT": (24000, (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 400, 320, 75),
    "44.1 kHz, the paper's strides": (44100, (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 400, 320, 137.8125),
    "100 Hz": (16000, (10, 3, 3, 3, 3, 2), (5, 2, 2, 2, 2, 2), 240, 160, 100),
    "an odd hop": (44100, (8, 8, 4, 4), (7, 7, 3, 3), 645, 441, 100),
}


@pytest.mark.parametrize("name", STACKS)
def test_frames_follow_from_kernels_strides_and_rate(name: str) -> None:
    rate_hz, kernels, strides, window, hop, frame_rate_hz = STACKS[name]
    layers = tuple(ConvLayer(channels=1, kernel=k, stride=s) for k, s in zip(kernels, strides, strict=True))
    is_said = frame_rate_hz != 50  # else the strides say it
    network = tiny_network(conv_layers=layers, sample_rate_hz=rate_hz if is_said else None)
    grid = FrameGrid.of(network)
    assert (grid.sample_rate_hz, grid.window_samples, grid.hop_samples) == (rate_hz, window, hop)
    assert grid.rate_hz == frame_rate_hz
    assert grid.is_standard == (frame_rate_hz == 50)
    convs = torch.nn.Sequential(*(torch.nn.Conv1d(1, 1, k, s) for k, s in zip(kernels, strides, strict=True)))
    for num_samples in (window - 1, window, window + hop - 1, window + hop, rate_hz + 7):
        frames = convs(torch.zeros(1, 1, num_samples)).shape[2] if num_samples >= window else 0
        assert grid.count(num_samples) == frames == num_frames(num_samples, layers)
        assert num_samples >= grid.samples_of(frames)
        assert num_samples < grid.samples_of(frames + 1)
    # The middle of frame 1 is where a sample has to change for the frame to change, and half a window on either side.
    assert grid.centres_seconds(2)[1] == pytest.approx((hop + window / 2) / rate_hz, abs=0.5 / rate_hz)


def test_labels_that_are_neither_one_nor_two_per_frame_are_refused() -> None:
    grid = FrameGrid(sample_rate_hz=24000, window_samples=400, hop_samples=320)
    assert [labels_per_frame(rate_hz, grid) for rate_hz in (75, 150)] == [1, 2]
    for rate_hz in (50, 100, 225):
        with pytest.raises(ValueError, match=r"expected 75 or 150: .* \(75 per second\)"):
            num_labels(24000, rate_hz, grid)


def test_an_odd_hop_has_no_half_so_it_has_one_label_per_frame() -> None:
    """Two labels every 441 samples would drift by a sample each: frame 998 would have another's."""
    grid = FrameGrid(sample_rate_hz=44100, window_samples=551, hop_samples=441)
    assert labels_per_frame(100, grid) == 1
    with pytest.raises(ValueError, match="200 labels per second, expected 100: "):
        num_labels(441_000, 200, grid)


def test_a_rate_with_few_digits_is_that_of_the_frames() -> None:
    grid = FrameGrid(sample_rate_hz=44100, window_samples=600, hop_samples=512)  # 86.1328125 per second
    assert num_labels(44100, 86.1328, grid) == grid.count(44100) == (44100 - 600) // 512 + 1
    with pytest.raises(ValueError, match=r"expected 86\.1328125 or 172\.265625"):
        num_labels(44100, 86.2, grid)


def test_equal_rates_of_labels_have_equal_keys() -> None:
    specs = [
        ExternalLabelsSpec(type="external", file="x.npz", sha256="0" * 64, num_clusters=9, rate_hz=rate)
        for rate in (75, 75.0)
    ]
    assert key_of(canonical(specs[0])) == key_of(canonical(specs[1]))


def test_a_rate_that_the_strides_say_already_is_left_out_of_a_network() -> None:
    with pytest.raises(ValueError, match="16000 is the sample rate of these strides: leave it out"):
        tiny_network(sample_rate_hz=16000)
    with pytest.raises(ValueError, match="sample_rate_hz"):
        tiny_network(sample_rate_hz=11025)  # no shards have it
