"""From recordings to updates at other frame rates than 50 per second: 44.1 kHz, and the 75 per second of MERT."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.nn.networks import NO_DROPOUT
from tests.shards.corpora import Clip, encode_audio, write_corpus
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.engine.ranks import Ranks
from wavlm.errors import UsageError
from wavlm.evaluation.features.states import Subject, open_subject, to_grid
from wavlm.execution import metrics
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest
from wavlm.features.extract import ExtractionPlan
from wavlm.features.frame_function import frame_function, mfcc_at_frame_rate
from wavlm.features.hidden import HiddenLayers
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.labels.files import LabelMismatchError, read_labels
from wavlm.labels.flat import open_flat_labels
from wavlm.labels.quality import phones_of_frames
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.loader.samples import TrainingSamples
from wavlm.mixing.build import build_mixtures
from wavlm.mixing.truth import read_truth
from wavlm.nn import WavLM, load_model, save_model
from wavlm.shards import Reader, build_shards, read_index
from wavlm.specs import (
    CodebookSpec,
    ConvLayer,
    HiddenFeatures,
    LogMelFeatures,
    MfccFeatures,
    MixSpec,
    MixturesSpec,
    NetworkSpec,
    RandomProjectionSpec,
    ShardSpec,
)
from wavlm.specs.frames import FrameGrid, other_grid
from wavlm.train.data import data_of
from wavlm.train.loop import train

PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
MFCC = MfccFeatures(type="mfcc")
LAYER = HiddenFeatures(type="hidden", layer=1)
ALONE = Ranks(0, 1, torch.device("cpu"))
# Length and rate of each recording: all are resampled to that of the shards.
CLIPS = {"a": (1.0, 8000), "b": (1.3, 16000), "c": (1.5, 44100), "d": (1.2, 24000), "e": (1.2, 44100), "f": (1.1, 8000)}


def network(kernels: tuple[int, ...], strides: tuple[int, ...], sample_rate_hz: int | None = None) -> NetworkSpec:
    convs = tuple(ConvLayer(channels=8, kernel=k, stride=s) for k, s in zip(kernels, strides, strict=True))
    return tiny_network(conv_layers=convs, sample_rate_hz=sample_rate_hz, num_layers=1, **NO_DROPOUT)


# What the strides say, and the samples of a frame and of a hop.
AT_44_1_KHZ = network((10, 10, 4, 4, 2), (7, 7, 3, 3, 2)), 1102, 882
AT_75_HZ = network((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 24000), 400, 320
ODD_HOP = network((8, 8, 4, 4), (7, 7, 3, 3), 44100), 645, 441  # 100 frames per second, one MFCC for each


def clip(key: str, seconds: float, rate_hz: int) -> Clip:
    rng = np.random.default_rng(ord(key))
    sound = 0.3 * np.sin(2 * np.pi * 1000.0 * np.arange(round(seconds * rate_hz)) / rate_hz)
    sound *= np.repeat(rng.uniform(0.3, 1.0, 40), -(-len(sound) // 40))[: len(sound)]
    return Clip(key, encode_audio(sound, rate_hz), speaker=key, split="valid" if key in "ef" else "train")


def label_all(
    folder: Path, spec: CodebookSpec | RandomProjectionSpec, grid: FrameGrid | None, teacher: Path | None = None
) -> Path:
    """The labels of `folder / shards` in a new folder, by a codebook that is fitted on them."""
    codebook, labels = folder / f"{spec.features.type}-codebook", folder / f"{spec.features.type}-labels"
    codebook.mkdir()
    labels.mkdir()
    build_codebook(spec, {"tones": folder / "shards"}, teacher, codebook, PLAN, grid=grid)
    build_labels(codebook, spec.features, folder / "shards", teacher, labels, PLAN)
    return labels


@pytest.mark.parametrize(
    ("net", "window", "hop"),
    [
        pytest.param(*AT_44_1_KHZ, id="44.1 kHz"),
        pytest.param(*AT_75_HZ, id="75 Hz"),
        pytest.param(*ODD_HOP, id="an odd hop", marks=pytest.mark.full),
    ],
)
def test_shards_labels_features_mixtures_and_updates_have_the_frames_of_the_network(
    net: NetworkSpec, window: int, hop: int, tmp_path: Path
) -> None:
    grid = FrameGrid.of(net)
    rate_hz = grid.sample_rate_hz
    clips = [clip(key, *size) for key, size in CLIPS.items()]
    spec = ShardSpec(min_seconds=0.5, max_seconds=3.0, shard_megabytes=0.3, sample_rate_hz=rate_hz)
    build_shards(spec, write_corpus(tmp_path / "corpus", clips), tmp_path / "shards", 1, no_progress)
    index = read_index(tmp_path / "shards")
    reader = Reader(tmp_path / "shards", sample_rate_hz=rate_hz)
    blob = reader.read_blob(str(index.shards[0]), int(index.offsets[0]), int(index.sizes[0]))
    waveform, found_hz = soundfile.read(io.BytesIO(blob))
    assert found_hz == rate_hz
    assert np.argmax(np.abs(np.fft.rfft(waveform))) * rate_hz / len(waveform) == pytest.approx(1000, abs=5)

    kmeans = CodebookSpec(features=MFCC, num_clusters=4, sample_frames_per_cluster=50)
    labels = label_all(tmp_path, kmeans, other_grid(net))
    flat = open_flat_labels([labels], [tmp_path / "shards"], tmp_path / "cache", other_grid(net))
    with torch.inference_mode():
        model = WavLM(net, 4).eval()
        for row, samples in enumerate(index.samples.tolist()):
            frames = model.hidden_states(torch.zeros(1, samples))[0].shape[1]
            assert len(flat.of(0, row)) == frames == (samples - window) // hop + 1
    header = read_labels(labels, str(index.shards[0])).header
    assert header.label_rate_hz == (1 if hop % 2 else 2) * rate_hz / hop

    mix = MixSpec(name="half", probability=0.5)
    (tmp_path / "mixtures").mkdir()
    build_mixtures(
        MixturesSpec(num_utterances=2, max_seconds=1.0),
        mix,
        [tmp_path / "shards"],
        [],
        [],
        tmp_path / "mixtures",
        grid=other_grid(net),
    )
    for item in read_truth(tmp_path / "mixtures"):
        assert (item.num_samples - window) % hop == 0
        assert item.num_samples <= rate_hz < item.num_samples + hop
    few = {"updates": 2, "valid_every": 2, "log_every": 1, "max_crop_seconds": 1.0, "batch_seconds": 4.0}
    job = TrainJob(
        key="0" * 12,
        out=tmp_path / "out",
        network=net,
        train=tiny_training(**few, group_seconds=4.0),
        num_clusters=4,
        data=(LabelledShards(shards=tmp_path / "shards", labels=labels),),
        mix=mix,
        mixtures=tmp_path / "mixtures",
        runtime=Runtime(workers=0),
    )
    batch = next(iter(loader(job, SamplerState())))
    crops, frames = batch.labels.shape[:2]
    assert batch.audio.pcm.shape == (crops, window + hop * (frames - 1))
    assert crops == 4  # of one second: a micro-batch is as long at every frame rate
    job.out.mkdir(exist_ok=True)
    with StopRequest() as stop:
        train(job, data_of(job, ALONE), ALONE, stop)
    *_, last = metrics.read(job.out / "metrics.jsonl")
    assert last["seconds_of_audio"] == pytest.approx(8.0, rel=0.02)  # two updates of four crops
    assert np.isfinite([last["valid/loss"], last["valid_mixed/loss"]]).all()

    trained = load_model(job.out)
    assert (trained.sample_rate_hz, FrameGrid.of(trained.network)) == (rate_hz, grid)
    function = frame_function(LAYER, job.out, "cpu", grid)
    with torch.inference_mode():
        rows = function.compute(torch.zeros(1, rate_hz), None)
        assert torch.equal(rows, trained.hidden_states(torch.zeros(1, rate_hz))[1])
    hidden = CodebookSpec(features=LAYER, num_clusters=4, sample_frames_per_cluster=50)
    again = label_all(tmp_path, hidden, other_grid(net), job.out)
    flat = open_flat_labels([again], [tmp_path / "shards"], tmp_path / "cache", other_grid(net))
    assert [len(flat.of(0, row)) for row in range(len(index.samples))] == ((index.samples - window) // hop + 1).tolist()


def test_a_teacher_and_labels_of_other_frames_are_refused(tmp_path: Path) -> None:
    net, *_ = AT_75_HZ
    clips = [clip(key, *size) for key, size in CLIPS.items()]
    spec = ShardSpec(min_seconds=0.5, max_seconds=3.0, sample_rate_hz=24000)
    build_shards(spec, write_corpus(tmp_path / "corpus", clips), tmp_path / "shards", 1, no_progress)
    projections = RandomProjectionSpec(
        type="random_projection", features=LogMelFeatures(type="log_mel"), num_clusters=8
    )
    labels = label_all(tmp_path, projections, other_grid(net))  # of 75 per second
    at_50_hz = network((10, 5, 3, 3, 3, 2, 2), (5, 3, 2, 2, 2, 2, 2))
    job = TrainJob(
        key="0" * 12,
        out=tmp_path / "out",
        network=at_50_hz,
        train=tiny_training(max_crop_seconds=1.0),
        num_clusters=8,
        data=(LabelledShards(shards=tmp_path / "shards", labels=labels),),
        runtime=Runtime(workers=0),
    )
    with pytest.raises(
        LabelMismatchError, match=r"labels for frames of 400 samples every 320 .*, the network makes .* 480"
    ):
        TrainingSamples(job)
    torch.manual_seed(0)
    save_model(WavLM(at_50_hz, 4), tmp_path / "teacher")
    with pytest.raises(UsageError, match="SAMPLE_RATE: the model makes frames of 600 samples every 480"):
        frame_function(LAYER, tmp_path / "teacher", "cpu", FrameGrid.of(net))


def test_an_evaluation_takes_the_frame_that_is_nearest_in_time() -> None:
    """A waveform that says the time: the mean over a frame of the model is the middle of that frame."""
    grid = FrameGrid.of(AT_75_HZ[0])
    ramp = (np.arange(16000) / 16000).astype(np.float32)
    waveform, nearest = to_grid(ramp, grid)
    assert len(nearest) == (16000 - 400) // 320 + 1
    assert len(waveform) == 400 + 320 * nearest[-1]
    inside = nearest[3:-3]  # the resampler rings at the ends
    middles = [waveform[320 * t : 320 * t + 400].mean() for t in inside]
    wanted = (np.arange(3, len(nearest) - 3) * 320 + 200) / 16000
    assert np.abs(np.array(middles) - wanted).max() <= 320 / 24000 / 2 + 1e-3


def test_states_phones_and_mfcc_of_a_model_at_75_hz_have_its_frames(tmp_path: Path) -> None:
    net, window, hop = AT_75_HZ
    grid = FrameGrid.of(net)
    torch.manual_seed(0)
    save_model(WavLM(net, 4), tmp_path)
    waveform = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)  # of an evaluation: 16 kHz
    (states,) = open_subject(Subject("x", tmp_path))(waveform, "a")
    given, nearest = to_grid(waveform, grid)
    whole = HiddenLayers(tmp_path, (1,), sample_rate_hz=24000)(given)[0]
    assert len(whole) == (len(given) - window) // hop + 1
    np.testing.assert_array_equal(states[1], whole[nearest])
    assert [len(state) for state in states] == [49, 49]
    assert len(mfcc_at_frame_rate(given, grid)) == len(whole)  # what scores compare a layer with
    names, numbers = phones_of_frames([(0.0, 0.5, "a"), (0.5, 9.0, "b")], len(whole), grid)
    assert names == ("a", "b")
    assert int((numbers == 0).sum()) == 37  # the middle of frame t is at (320 t + 200) / 24000 s
