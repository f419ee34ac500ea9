"""MFCC against two independent computations; hidden features against the network."""

from __future__ import annotations

import math
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest
import soundfile
import torch

from wavlm.features import Hidden, extractor, mfcc, mfcc_at_frame_rate, pieces_of
from wavlm.frames import num_frames
from wavlm.nn import WavLM, load_model, save_model
from wavlm.specs import HiddenFeatures, NetworkSpec, paper_conv_layers

# C0 of speech spans about this much; the differences below are judged against it.
SCALE = 104


def tiny_network(style: str) -> NetworkSpec:
    return NetworkSpec(
        extractor_norm="group" if style == "base" else "layer",
        norm_first=style == "large",
        normalize_waveform=style == "large",
        conv_layers=paper_conv_layers(channels=8),
        width=16,
        ffn_width=32,
        num_layers=3,
        num_heads=2,
        position_kernel=16,
        position_groups=4,
        projection_width=8,
    )


@pytest.fixture(scope="module", params=["base", "large"])
def model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    save_model(WavLM(tiny_network(request.param), num_clusters=5), folder)
    return folder


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def speech(shared_corpus: Path, count: int) -> list[np.ndarray]:
    paths = sorted(shared_corpus.glob("speech/*/*.flac"))[:: 862 // count][:count]
    return [soundfile.read(path, dtype="float32")[0] for path in paths]


def mel_of(frequency_hz: float) -> float:
    return 1127 * math.log(1 + frequency_hz / 700)


def slow_mfcc(waveform: np.ndarray) -> np.ndarray:
    """Float64, frame by frame, each step as the definition has it: (N,) -> (F, 39)."""
    waveform = waveform.astype(np.float64)
    mels = [mel_of(number * 16000 / 512) for number in range(256)]
    edges = mel_of(20.0) + (mel_of(8000.0) - mel_of(20.0)) / 24 * np.arange(25)
    cepstra = []
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400] - waveform[start : start + 400].mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
        energies = []
        for left, centre, right in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
            total = 0.0
            for number, mel in enumerate(mels):
                if left < mel <= centre:
                    total += power[number] * (mel - left) / (centre - left)
                elif centre < mel < right:
                    total += power[number] * (right - mel) / (right - centre)
            energies.append(np.log(max(total, np.finfo(np.float32).eps)))
        row = []
        for order in range(13):
            norm = np.sqrt((1 if order == 0 else 2) / 23)
            cosines = np.cos(np.pi / 23 * (np.arange(23) + 0.5) * order)
            row.append(norm * (cosines @ energies) * (1 + 11 * np.sin(np.pi * order / 22)))
        cepstra.append(row)
    first = np.array(cepstra)
    second = slow_deltas(first)
    return np.concatenate([first, second, slow_deltas(second)], axis=1)


def slow_deltas(rows: np.ndarray) -> np.ndarray:
    """Least-squares slope of each channel over the five frames around each frame."""
    last = len(rows) - 1
    slopes = []
    for t in range(len(rows)):
        around = np.stack([rows[min(max(t + k, 0), last)] for k in range(-2, 3)])
        slopes.append(np.polyfit(np.arange(-2, 3), around, 1)[0])
    return np.array(slopes)


def kaldi_mfcc(waveform: np.ndarray) -> np.ndarray:
    options = knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = True
    options.use_energy = False
    options.mel_opts.num_bins = 23
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = 8000
    computer = knf.OnlineMfcc(options)
    computer.accept_waveform(16000, waveform)
    computer.input_finished()
    return np.stack([computer.get_frame(t) for t in range(computer.num_frames_ready)])


@pytest.mark.parametrize("waveform", [noise(4000), np.zeros(4000, np.float32), noise(400)])
def test_mfcc_is_what_the_definition_says(waveform: np.ndarray) -> None:
    found, expected = mfcc(waveform), slow_mfcc(waveform)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * SCALE)


def test_mfcc_of_speech_is_kaldis(shared_corpus: Path) -> None:
    for waveform in speech(shared_corpus, 6):
        found, expected = mfcc(waveform)[:, :13], kaldi_mfcc(waveform)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=3e-3)


def test_mfcc_at_the_frame_rate_has_a_row_for_every_frame_of_the_network() -> None:
    for num_samples in range(400, 1400, 7):
        waveform = noise(num_samples)
        at_frames = mfcc_at_frame_rate(waveform)
        assert len(at_frames) == num_frames(num_samples)
        np.testing.assert_array_equal(at_frames[-1], mfcc(waveform)[2 * (len(at_frames) - 1)])


def test_mfcc_of_less_than_a_window_has_no_rows() -> None:
    assert mfcc(noise(399)).shape == (0, 39)


@pytest.mark.parametrize("num_samples", [400, 3199, 3200, 3600, 6479, 6480, 6481, 9999])
def test_pieces_have_the_frames_of_the_whole(num_samples: int) -> None:
    # Each piece stands for frames that begin where the whole's do, with nothing lost or doubled.
    places = np.arange(num_samples, dtype=np.float32)
    starts = [
        piece[frame * 320]
        for piece in pieces_of(places, chunk_samples=3200)
        for frame in range(num_frames(len(piece)))
    ]
    assert starts == [frame * 320 for frame in range(num_frames(num_samples))]


def test_hidden_features_are_the_raw_output_of_the_layer(model_dir: Path) -> None:
    waveform = noise(20000)
    network = load_model(model_dir)
    with torch.no_grad():
        states = network.hidden_states(torch.from_numpy(waveform)[None])
    for layer in (1, 3):
        found = Hidden(model_dir, layer)(waveform)
        np.testing.assert_allclose(found, states[layer][0].numpy(), atol=1e-6)


@pytest.mark.slow
def test_an_utterance_over_100_seconds_is_heard_in_pieces(model_dir: Path) -> None:
    waveform = noise(1_600_000 + 30_000)
    found = Hidden(model_dir, 2)(waveform)
    assert len(found) == num_frames(len(waveform))
    network = load_model(model_dir)
    with torch.no_grad():
        first, rest = (
            network.hidden_states(torch.from_numpy(piece)[None])[2][0].numpy()
            for piece in (waveform[: 1_600_000 + 80], waveform[1_600_000:])
        )
    np.testing.assert_allclose(found, np.concatenate([first, rest]), atol=1e-5)


def test_a_layer_that_the_model_does_not_have_is_refused(model_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"layer 4 is not in 1\.\.3"):
        extractor(HiddenFeatures(type="hidden", layer=4), model_dir, "cpu")


def test_hidden_features_without_a_model_are_refused() -> None:
    with pytest.raises(ValueError, match="need the folder of a model"):
        extractor(HiddenFeatures(type="hidden", layer=1), None)
