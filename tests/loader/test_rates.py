"""Shards, labels and batches at another sample rate than 16 kHz, and what is refused because its rate is another."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.mini_shards import tones, write_shards
from tests.nn.networks import NO_DROPOUT
from tests.shards.corpora import Clip, encode_audio, write_corpus
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.engine.ranks import Ranks
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.features.states import to_rate
from wavlm.execution import metrics
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.export.errors import ImportRefusedError
from wavlm.export.fairseq import read_fairseq, write_fairseq
from wavlm.export.hf import write_hf
from wavlm.export.hf_config import read_hf_network
from wavlm.features.extract import ExtractionPlan
from wavlm.features.frame_function import frame_function
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.labels.files import LabelMismatchError, read_labels
from wavlm.labels.flat import open_flat_labels
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.loader.samples import TrainingSamples
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.build import build_mixtures
from wavlm.mixing.effects import apply_effects
from wavlm.nn import WavLM, load_model, save_model
from wavlm.shards import Reader, build_shards, read_index
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import (
    CodebookSpec,
    ConvLayer,
    EffectSpec,
    HiddenFeatures,
    MfccFeatures,
    MixSpec,
    MixturesSpec,
    Recipe,
    ShardSpec,
)
from wavlm.specs.frames import FrameGrid
from wavlm.specs.shapes import num_frames
from wavlm.specs.yaml import read_recipe
from wavlm.storage.files import read_json, write_json
from wavlm.train.data import data_of
from wavlm.train.loop import train

RATE = 8000
PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
SPEC = ShardSpec(min_seconds=0.5, max_seconds=3.0, cut="equal", shard_megabytes=0.1, sample_rate_hz=RATE)
MFCC = MfccFeatures(type="mfcc")
CONVS = tuple(
    ConvLayer(channels=8, kernel=kernel, stride=stride)
    for kernel, stride in zip((10, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2), strict=True)
)
NETWORK = tiny_network(conv_layers=CONVS, num_layers=1, **NO_DROPOUT)
SIZES = {"a": (1.0, 8000), "b": (2.0, 16000), "c": (1.5, 44100), "d": (4.0, 8000), "e": (1.2, 16000), "f": (1.1, 8000)}


def tone(seconds: float, rate_hz: int, hz: float = 1000.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards at 8 kHz of recordings at three rates, a codebook of MFCC and labels."""
    folder = tmp_path_factory.mktemp("rates")
    clips = [
        Clip(key, encode_audio(tone(seconds, rate_hz), rate_hz), speaker=key, split="valid" if key in "ef" else "train")
        for key, (seconds, rate_hz) in SIZES.items()
    ]
    facts = build_shards(SPEC, write_corpus(folder / "corpus", clips), folder / "shards", 1, no_progress)
    assert facts.hours == pytest.approx(sum(seconds for seconds, _ in SIZES.values()) / 3600, abs=1e-6)
    (folder / "codebook").mkdir()
    (folder / "labels").mkdir()
    spec = CodebookSpec(features=MFCC, num_clusters=4, sample_frames_per_cluster=50)
    build_codebook(spec, {"tones": folder / "shards"}, None, folder / "codebook", PLAN)
    build_labels(folder / "codebook", MFCC, folder / "shards", None, folder / "labels", PLAN)
    return folder


def job(made: Path, **changes: object) -> TrainJob:
    fields: dict[str, object] = {
        "key": "0" * 12,
        "out": made / "out",
        "network": NETWORK,
        "train": tiny_training(max_crop_seconds=2.5),
        "num_clusters": 4,
        "data": (LabelledShards(shards=made / "shards", labels=made / "labels"),),
        "runtime": Runtime(workers=0),
    }
    return TrainJob.model_validate(fields | changes)


def test_recordings_of_any_rate_become_utterances_at_the_rate_of_the_shards(made: Path) -> None:
    assert read_sample_rate(made / "shards") == RATE
    index, reader = read_index(made / "shards"), Reader(made / "shards", sample_rate_hz=RATE)
    lengths = {key.partition("-")[0]: 0 for key in index.keys}
    for row, key in enumerate(index.keys):
        blob = reader.read_blob(str(index.shards[row]), int(index.offsets[row]), int(index.sizes[row]))
        waveform, rate_hz = soundfile.read(io.BytesIO(blob))
        assert rate_hz == RATE
        assert np.argmax(np.abs(np.fft.rfft(waveform))) * RATE / len(waveform) == pytest.approx(1000, abs=5)
        lengths[key.partition("-")[0]] += len(waveform)
    assert lengths == {key: round(seconds * RATE) for key, (seconds, _) in SIZES.items()}


def test_labels_and_batches_have_the_frames_of_the_network_at_8_khz(made: Path) -> None:
    model = WavLM(NETWORK, 4).eval()
    flat = open_flat_labels([made / "labels"], [made / "shards"], made / "cache")
    index = read_index(made / "shards")
    for row, samples in enumerate(index.samples.tolist()):
        with torch.inference_mode():
            frames = model.hidden_states(torch.zeros(1, samples))[0].shape[1]
        assert len(flat.of(0, row)) == frames == num_frames(samples, CONVS)
    batch = next(iter(loader(job(made), SamplerState())))
    crops, frames = batch.labels.shape
    assert batch.audio.pcm.shape == (crops, 200 + 160 * (frames - 1))
    assert batch.seconds == pytest.approx(crops * (200 + 160 * (frames - 1)) / 8000)
    assert batch.seconds <= 6.0 + 0.005 * crops


def test_mixtures_and_training_are_at_8_khz(made: Path, tmp_path: Path) -> None:
    mix = MixSpec(name="half", probability=0.5, effects=(EffectSpec(name="codec", probability=0.5),))
    (tmp_path / "m").mkdir()
    spec = MixturesSpec(num_utterances=2, max_seconds=1.0)
    facts = build_mixtures(spec, mix, [made / "shards"], [], [], tmp_path / "m")
    assert facts.hours == pytest.approx(2 * 0.985 / 3600, abs=1e-6)  # 49 frames: 25 ms and 48 times 20 ms
    assert {soundfile.info(path).samplerate for path in (tmp_path / "m" / "listen").glob("*.wav")} == {RATE}
    few = {"updates": 2, "valid_every": 2, "log_every": 1, "max_crop_seconds": 1.0, "batch_seconds": 12.0}
    trained = job(made, out=tmp_path / "out", mix=mix, mixtures=tmp_path / "m", train=tiny_training(**few))
    trained.out.mkdir()
    alone = Ranks(0, 1, torch.device("cpu"))
    with StopRequest() as stop:
        train(trained, data_of(trained, alone), alone, stop)
    *_, last = metrics.read(trained.out / "metrics.jsonl")
    assert last["seconds_of_audio"] == pytest.approx(24.0, rel=0.2)  # two updates of 12 s
    assert np.isfinite([last["valid/loss"], last["valid_mixed/loss"]]).all()
    assert load_model(trained.out).sample_rate_hz == RATE


def test_a_model_of_another_rate_makes_no_labels(made: Path, tmp_path: Path) -> None:
    save_model(WavLM(tiny_network(num_layers=1), 4), tmp_path / "model")
    layer = HiddenFeatures(type="hidden", layer=1)
    spec = CodebookSpec(features=layer, num_clusters=4, sample_frames_per_cluster=50)
    (tmp_path / "codebook").mkdir()
    with pytest.raises(UsageError, match="SAMPLE_RATE: the model is for waveforms of 16000 Hz, expected 8000 Hz"):
        build_codebook(spec, {"tones": made / "shards"}, tmp_path / "model", tmp_path / "codebook", PLAN)
    save_model(WavLM(NETWORK, 4), tmp_path / "narrow")
    function = frame_function(layer, tmp_path / "narrow", "cpu", FrameGrid.standard(RATE))
    with torch.inference_mode():
        found = function.compute(torch.zeros(1, 8000), None)
        expected = load_model(tmp_path / "narrow").hidden_states(torch.zeros(1, 8000))[1]
    assert torch.equal(found, expected)


def test_a_network_for_16_khz_is_not_trained_on_8_khz(made: Path) -> None:
    with pytest.raises(
        ValueError, match=r"the network makes frames of 400 samples every 320 at 16000 Hz .*, the shards have 8000 Hz"
    ):
        TrainingSamples(job(made, network=tiny_network()))


def test_audio_of_another_rate_is_refused_where_it_is_read(made: Path, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="SAMPLE_RATE: found 8000 Hz, expected 16000"):
        Reader(made / "shards").read(0)
    wide = write_shards(tmp_path / "wide", tones(4))
    with pytest.raises(BadDataError, match="SAMPLE_RATE: found 16000 Hz, expected 8000"):
        AudioPool([wide], "train", sample_rate_hz=RATE).draw(0.5)
    with pytest.raises(BadDataError, match="SAMPLE_RATE: found shards of 8000 and 16000 Hz"):
        TrainingSamples(job(made, noise=(wide,)))
    with pytest.raises(LabelMismatchError):
        open_flat_labels([made / "labels"], [wide], tmp_path / "cache")


def test_speech_and_noise_of_a_recipe_have_one_rate() -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "data_specs" / "recipes" / "demo.yaml")
    narrow = recipe.shards.model_copy(update={"sample_rate_hz": 8000})
    with pytest.raises(ValueError, match="noise and rooms have 16000 Hz, speech has 8000 Hz"):
        Recipe.model_validate({**dict(recipe), "shards": narrow})
    Recipe.model_validate({**dict(recipe), "shards": narrow, "noise_shards": narrow})


def test_an_export_names_its_rate_and_what_is_read_has_the_frames_that_follow(tmp_path: Path) -> None:
    write_hf(WavLM(NETWORK, 4), tmp_path)
    settings = tmp_path / "preprocessor_config.json"
    assert read_json(settings)["sampling_rate"] == 8000
    assert read_hf_network(tmp_path) == NETWORK
    write_json(settings, {**read_json(settings), "sampling_rate": 16000})  # as a MERT at 24 kHz with strides of 320 has
    assert FrameGrid.of(read_hf_network(tmp_path)).rate_hz == 100
    fast = tiny_network(sample_rate_hz=24000)
    write_fairseq(WavLM(fast, 4), tmp_path / "fast.pt")
    assert read_fairseq(tmp_path / "fast.pt", 4).network.sample_rate_hz == 24000
    write_json(settings, {**read_json(settings), "sampling_rate": 11025})
    with pytest.raises(ImportRefusedError, match=r"11025|Input should be"):
        read_hf_network(tmp_path)


@pytest.mark.parametrize("rate_hz", [8000, 24000])
def test_speech_of_an_evaluation_is_resampled_to_the_model_with_frames_at_the_same_times(rate_hz: int) -> None:
    for length in (400, 719, 16001, 24_321):
        waveform = tone(length / 16000, 16000).astype(np.float32)
        found = to_rate(waveform, rate_hz)
        frames = (length - 400) // 320 + 1
        assert len(found) == rate_hz // 40 + (frames - 1) * rate_hz // 50
        if length > 10_000:
            middle = slice(rate_hz // 4, rate_hz // 2)
            expected = tone(len(found) / rate_hz, rate_hz)[: len(found)]
            np.testing.assert_allclose(found[middle], expected[middle], atol=1e-3)


@pytest.mark.parametrize("name", ["low_pass", "band_pass", "codec", "gain"])
def test_effects_keep_length_and_level_at_8_khz(name: str) -> None:
    bounds = {"low_pass": (3000.0, 7500.0), "band_pass": (900.0, 1100.0), "gain": (0.0, 0.0)}.get(name)
    fields = {"name": name, "probability": 1.0} | ({"minimum": bounds[0], "maximum": bounds[1]} if bounds else {})
    waveform = tone(1.0, RATE).astype(np.float32)
    effect = EffectSpec.model_validate(fields)
    found = apply_effects(waveform, (effect,), np.random.default_rng(0), None, RATE).waveform
    assert found.shape == waveform.shape
    spectrum = np.abs(np.fft.rfft(found))
    assert int(np.argmax(spectrum)) == 1000  # the tone is where it was: bins of 1 Hz


def test_read_labels_says_100_hz(made: Path) -> None:
    (tar, *_) = sorted((made / "shards").glob("train-*.tar"))
    assert read_labels(made / "labels", tar.name).header.label_rate_hz == 100
