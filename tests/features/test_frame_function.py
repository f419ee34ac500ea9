"""Hidden features compared with the network; MFCC at the frame rate of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.numerics import num_operations, require_close
from tests.tiny_specs import tiny_large_network, tiny_network
from wavlm.errors import UsageError
from wavlm.features.frame_function import frame_function, mfcc_at_frame_rate
from wavlm.features.hidden import HiddenLayers, cut_pieces
from wavlm.features.mfcc import mfcc
from wavlm.nn import WavLM, load_model, save_model
from wavlm.specs import HiddenFeatures
from wavlm.specs.shapes import num_frames

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module", params=[tiny_network, tiny_large_network])
def model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_model(WavLM(request.param(num_layers=3), num_clusters=5), folder)
    return folder


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def test_mfcc_at_the_frame_rate_has_a_row_for_every_frame_of_the_network() -> None:
    for num_samples in range(400, 1400, 7):
        waveform = noise(num_samples)
        at_frames = mfcc_at_frame_rate(waveform)
        assert len(at_frames) == num_frames(num_samples)
        np.testing.assert_array_equal(at_frames[-1], mfcc(waveform)[2 * (len(at_frames) - 1)])


@pytest.mark.parametrize("num_samples", [400, 3199, 3200, 3600, 6479, 6480, 6481, 9999])
def test_pieces_have_the_frames_of_the_whole(num_samples: int) -> None:
    # The frames of the pieces begin at the same samples as those of the whole: none is lost or doubled.
    ramp = np.arange(num_samples, dtype=np.float32)
    starts = [
        piece[frame * 320] for piece in cut_pieces(ramp, piece_samples=3200) for frame in range(num_frames(len(piece)))
    ]
    assert starts == [frame * 320 for frame in range(num_frames(num_samples))]


def test_hidden_features_are_the_raw_output_of_the_layer(model_dir: Path) -> None:
    waveform = noise(20000)
    network = load_model(model_dir)
    with torch.no_grad():
        states = network.hidden_states(torch.from_numpy(waveform)[None])
    for layer in (1, 3):
        (found,) = HiddenLayers(model_dir, (layer,))(waveform)
        operations = num_operations(network.network, len(found))
        require_close(found, states[layer][0], operations)


def test_a_padded_batch_holds_the_layer_of_each_utterance(model_dir: Path) -> None:
    waveforms = [noise(n, seed=n) for n in (20000, 16001, 7000, 400)]
    batch = torch.full((4, 20000), 0.3)  # the padding must not matter
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    function = frame_function(HiddenFeatures(type="hidden", layer=2), model_dir, "cpu")
    network = load_model(model_dir).network
    with torch.inference_mode():
        rows = function.compute(batch, lengths)
    for waveform, row in zip(waveforms, rows, strict=True):
        (expected,) = HiddenLayers(model_dir, (2,))(waveform)
        operations = num_operations(network, len(expected))
        require_close(row[: len(expected)], expected, operations)


@pytest.mark.slow
def test_an_utterance_over_100_seconds_is_computed_in_pieces(model_dir: Path) -> None:
    waveform = noise(1_600_000 + 30_000)
    (found,) = HiddenLayers(model_dir, (2,))(waveform)
    assert len(found) == num_frames(len(waveform))
    network = load_model(model_dir)
    with torch.no_grad():
        first, rest = (
            network.hidden_states(torch.from_numpy(piece)[None])[2][0].numpy()
            for piece in (waveform[: 1_600_000 + 80], waveform[1_600_000:])
        )
    operations = num_operations(network.network, len(first))
    require_close(found, np.concatenate([first, rest]), operations)


def test_a_layer_that_the_model_does_not_have_is_refused(model_dir: Path) -> None:
    with pytest.raises(UsageError, match=r"LAYER_MISSING: layer 4 is not in 1\.\.3; at .*; choose one"):
        frame_function(HiddenFeatures(type="hidden", layer=4), model_dir, "cpu")


def test_hidden_features_without_a_model_are_refused() -> None:
    with pytest.raises(ValueError, match="need the folder of a model"):
        frame_function(HiddenFeatures(type="hidden", layer=1), None, "cpu")
