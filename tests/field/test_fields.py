"""Fields that do nothing: people changed a field of a recipe, and what came out was the same.

Each field of a spec is changed alone, to the value in a table here, and the stage that reads it has to give something
else. A field that is in no table fails, so a new one cannot be forgotten. That the right thing changes is tested beside
the stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.loader.test_loader import CPU
from tests.mini_shards import Spoken, tones, write_shards
from tests.nn.networks import base
from tests.shards.corpora import bytes_of, noise_clip, write_corpus
from tests.staircases import digest, job_of
from tests.staircases import write_corpus as write_staircases
from tests.tiny_specs import tiny_network
from tests.train import fakes
from wavlm.engine.ranks import Ranks
from wavlm.execution import metrics
from wavlm.execution.job import TrainJob
from wavlm.execution.progress import no_progress
from wavlm.execution.stop import StopRequest
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.codebook import build_codebook
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.mixing.build import build_mixtures
from wavlm.nn import WavLM
from wavlm.shards import build_shards
from wavlm.specs import (
    BalanceSpec,
    CodebookSpec,
    ConvLayer,
    EffectSpec,
    MaskSpec,
    MfccFeatures,
    MixSpec,
    MixturesSpec,
    NetworkSpec,
    SamplingSpec,
    ShardSpec,
    Spec,
    TrainSpec,
)
from wavlm.specs.shapes import num_frames
from wavlm.storage.files import sha256_of
from wavlm.train import loop

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))
PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
Change = tuple[str, object]

NETWORK: dict[str, object] = {
    "extractor_norm": "layer", "norm_first": True, "normalize_waveform": True, "conv_bias": True, "width": 48,
    "conv_layers": (ConvLayer(channels=12, kernel=10, stride=5), ConvLayer(channels=10, kernel=3, stride=6)),
    "ffn_width": 44, "num_layers": 2, "num_heads": 3, "position_kernel": 12, "position_groups": 4, "gated_bias": False,
    "num_buckets": 16, "max_distance": 20, "dropout": 0.5, "attention_dropout": 0.5, "activation_dropout": 0.5,
    "input_dropout": 0.5, "layer_drop": 1.0, "feature_grad_mult": 0.5, "projection_width": 8, "special_symbols": 4,
}  # fmt: skip
CONV_LAYER: dict[str, object] = {"channels": 9, "kernel": 4, "stride": 3}
# Fields of TrainSpec that the trainer reads; made-up batches stand in for the loader.
TRAINER: dict[str, object] = {
    "updates": 4, "warmup_updates": 0, "peak_lr": 2e-2, "batch_seconds": 0.75, "group_seconds": 0.75,
    "adam_betas": (0.8, 0.98), "adam_eps": 1e-2, "weight_decay": 0.5, "clip_norm": 0.1, "precision": "bf16",
    "logit_temperature": 0.5, "masked_weight": 0.5, "unmasked_weight": 0.5, "feature_penalty": 5.0, "valid_every": 2,
    "log_every": 1, "seed": 1,
}  # fmt: skip
# Those that the loader reads. The length of an update decides how many micro-batches belong together.
LOADER: dict[str, object] = {
    "batch_seconds": 12.0, "group_seconds": 12.0, "max_crop_seconds": 1.5, "crop_frames_multiple": 32, "seed": 1,
    "sampling": SamplingSpec(languages=BalanceSpec(weights={"cs": 3.0})),
}  # fmt: skip
ONE_VALUE = {"objective"}  # an objective has one type so far
MASK: dict[str, object] = {"probability": 0.5, "length": 5, "min_spans": 8, "equalise": True}
MIX: dict[str, object] = {
    "probability": 0.4, "noise_probability": 0.9, "speech_ratio_db": (5.0, 6.0), "noise_ratio_db": (25.0, 26.0),
    "max_length_fraction": 0.2, "exclude_self": False,
    "effects": (EffectSpec(name="gain", probability=1.0),),
}  # fmt: skip
EFFECT: dict[str, object] = {"name": "low_pass", "probability": 0.2, "minimum": -9.0, "maximum": 9.0}
SHARDS: dict[str, object] = {
    "min_seconds": 0.9, "max_seconds": 1.5, "join_seconds": 3.0, "join_gap_seconds": 0.4, "shard_megabytes": 0.05,
    "sample_rate_hz": 8000,
}  # fmt: skip
CODEBOOK: dict[str, object] = {
    "num_clusters": 5, "sample_frames_per_cluster": 20, "frames_per_utterance": 40, "iterations": 2,
    "seed": 1, "shares": (9.0, 1.0), "sampling": SamplingSpec(corpora=BalanceSpec(weights={"other": 9.0})),
}  # fmt: skip
MIXTURES: dict[str, object] = {"num_utterances": 3, "max_seconds": 1.0, "seed": 1}


def cases(table: dict[str, object]) -> list[Change]:
    return list(table.items())


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        (NetworkSpec, {*NETWORK, "sample_rate_hz"}),  # which audio it is for: tests/loader/test_frame_rates.py
        (ConvLayer, {*CONV_LAYER}),
        # Of mask: each field below. Windows: tests/loader/test_windows.py.
        (TrainSpec, {*TRAINER, *LOADER, *ONE_VALUE, "mask", "window_shards"}),
        (MaskSpec, {*MASK}),
        (MixSpec, {*MIX, "name"}),  # a name is for people
        (EffectSpec, {*EFFECT}),
        (ShardSpec, {*SHARDS, "max_rejected", "cut"}),  # a bound, and pauses that made-up noise lacks: see tests/shards
        # See tests/pipeline, tests/labels/test_seeds.py.
        (CodebookSpec, {*CODEBOOK, "features", "speech", "redo", "refit", "type"}),  # a type has one value
        (MixturesSpec, {*MIXTURES}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_field_is_in_a_table(spec: type[Spec], fields: set[str]) -> None:
    assert set(spec.model_fields) == fields


@cache
def of_network(network: NetworkSpec) -> str:
    """Weights, losses and gradients of one forward and backward in training mode."""
    torch.manual_seed(0)
    model = WavLM(network, 5).train()
    waveforms = torch.randn(2, 3000, generator=torch.Generator().manual_seed(1))
    shape = (2, num_frames(3000, network.conv_layers))
    mask = torch.arange(shape[1]).expand(shape) % 3 == 0

    class Batch:
        labels = torch.arange(shape[1]).expand(shape) % 5

    batch = Batch()
    batch.waveforms, batch.mask = waveforms, mask  # type: ignore[attr-defined]
    torch.manual_seed(2)
    terms = model.forward_pretrain(batch)  # type: ignore[arg-type]
    (terms.masked.loss + terms.feature_penalty).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    numbers = torch.cat([terms.masked.loss.detach().flatten(), *(gradient.flatten() for gradient in gradients)])
    return hashlib.sha256(repr(found).encode() + numbers.numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("change", cases(NETWORK), ids=str)
def test_a_field_of_the_network_changes_the_network(change: Change) -> None:
    assert of_network(base()) == of_network.__wrapped__(base()) != of_network(base(**dict([change])))


@pytest.mark.parametrize("change", cases(CONV_LAYER), ids=str)
def test_a_field_of_a_convolution_changes_the_network(change: Change) -> None:
    first, *rest = base().conv_layers
    other = first.model_copy(update=dict([change]))
    assert of_network(base()) != of_network(base(conv_layers=(other, *rest)))


def of_training(folder: Path, **train: object) -> tuple[str, list[object]]:
    """Weights and curve of two updates."""
    folder.mkdir()
    calm = {"dropout": 0.0, "attention_dropout": 0.0, "input_dropout": 0.0, "layer_drop": 0.0}
    chosen = {"updates": 3, "warmup_updates": 1, "log_every": 2, "valid_every": 3, **train}
    job = fakes.job(folder, network=calm, train=chosen)
    with StopRequest() as stop:
        loop.train(job, fakes.data(job, ALONE), ALONE, stop)
    lines = [
        {k: v for k, v in line.items() if k not in metrics.TIMED} for line in metrics.read(folder / "metrics.jsonl")
    ]
    return sha256_of(folder / "model.safetensors"), lines


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[object]]:
    torch.set_num_threads(1)
    return of_training(tmp_path_factory.mktemp("trained") / "out")


@pytest.mark.parametrize("change", cases(TRAINER), ids=str)
def test_a_field_of_the_training_changes_what_the_trainer_does(
    change: Change, trained: tuple[str, list[object]], tmp_path: Path
) -> None:
    weights, curve = of_training(tmp_path / "out", **dict([change]))
    if change[0] in ("valid_every", "log_every"):
        assert (weights == trained[0], curve == trained[1]) == (True, False)
    else:
        assert weights != trained[0]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainJob:
    """A job on staircases, with noise and rooms, in which three of four utterances are mixed."""
    folder = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    noises = [Spoken(f"n{i}", "", rng.normal(0, 0.02, 20000).astype(np.float32)) for i in range(3)]
    mix = MixSpec(name="much", probability=0.75, noise_probability=0.5)
    noise = write_shards(folder / "noise", noises)
    corpus = write_staircases(folder, "some", 24, languages=("en", "cs"))
    return job_of((corpus,), folder, mix=mix, noise=(noise,), network=tiny_network(num_layers=1))


def of_batches(job: TrainJob) -> list[str]:
    """Digests of the first batches, with the numbers of micro-batches of an epoch."""
    return [digest(packed.to(CPU)) for packed in islice(loader(job, SamplerState(), 0, 1), 8)]


@pytest.fixture(scope="module")
def delivered(job: TrainJob) -> list[str]:
    return of_batches(job)


def changed_training(job: TrainJob, **fields: object) -> TrainJob:
    return job.model_copy(update={"train": job.train.model_copy(update=fields)})


@pytest.mark.parametrize("change", cases(LOADER), ids=str)
def test_a_field_of_the_training_changes_the_batches(change: Change, job: TrainJob, delivered: list[str]) -> None:
    assert of_batches(changed_training(job, **dict([change]))) != delivered


@pytest.mark.parametrize("change", cases(MASK), ids=str)
def test_a_field_of_the_mask_changes_the_batches(change: Change, job: TrainJob, delivered: list[str]) -> None:
    mask = job.train.mask.model_copy(update=dict([change]))
    assert of_batches(changed_training(job, mask=mask)) != delivered


@pytest.mark.parametrize("change", cases(MIX), ids=str)
def test_a_field_of_the_mix_changes_the_batches(change: Change, job: TrainJob, delivered: list[str]) -> None:
    assert job.mix is not None
    mix = job.mix.model_copy(update=dict([change]))
    assert of_batches(job.model_copy(update={"mix": mix})) != delivered


@pytest.mark.parametrize("change", cases(EFFECT), ids=str)
def test_a_field_of_an_effect_changes_the_batches(change: Change, job: TrainJob) -> None:
    effect = EffectSpec(name="gain", probability=0.8, minimum=-6.0, maximum=6.0)
    if change[0] == "name":
        effect = EffectSpec(name="high_pass", probability=0.8, minimum=200.0, maximum=500.0)
    assert job.mix is not None
    mixes = [job.mix.model_copy(update={"effects": (it,)}) for it in (effect, effect.model_copy(update=dict([change])))]
    one, other = (of_batches(job.model_copy(update={"mix": mix})) for mix in mixes)
    assert one != other


@pytest.mark.parametrize("change", cases(SHARDS), ids=str)
def test_a_field_of_the_shards_changes_the_shards(change: Change, tmp_path: Path) -> None:
    clips = [noise_clip(f"anna-{number}", 0.7 + 0.3 * number) for number in range(6)]
    corpus = write_corpus(tmp_path / "corpus", clips)
    joins = 2.0 if change[0] != "join_seconds" else 0.0
    spec = ShardSpec(min_seconds=0.5, max_seconds=3.0, join_seconds=joins, shard_megabytes=0.1, max_rejected=0.0)
    if change[0] == "max_seconds":
        spec = spec.model_copy(update={"join_seconds": 0.0})
    for name, one in (("before", spec), ("after", spec.model_copy(update=dict([change])))):
        build_shards(one, corpus, tmp_path / name, 1, no_progress)
    assert bytes_of(tmp_path / "before") != bytes_of(tmp_path / "after")


@pytest.fixture(scope="module")
def centroids(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """The centroids of two corpora of tones, with fields of the codebook changed."""
    folder = tmp_path_factory.mktemp("codebooks")
    folders = {
        name: write_shards(folder / name, tones(6, seed, seconds) + tones(2, seed + 9, split="valid"))
        for name, seed, seconds in (("one", 0, 1.0), ("other", 4, 2.0))
    }

    @cache
    def build(**fields: object) -> bytes:
        spec = CodebookSpec(
            features=MfccFeatures(type="mfcc"), num_clusters=4, sample_frames_per_cluster=30, frames_per_utterance=20,
            iterations=8, seed=0,
        )  # fmt: skip
        out = folder / f"{len(list(folder.iterdir()))}"
        out.mkdir()
        build_codebook(spec.model_copy(update=fields), folders, None, out, PLAN)
        return (out / "centroids.npy").read_bytes()

    return build


@pytest.mark.parametrize("change", cases(CODEBOOK), ids=str)
def test_a_field_of_the_codebook_changes_the_centroids(change: Change, centroids: Callable[..., bytes]) -> None:
    assert centroids() != centroids(**dict([change]))


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """The files of two mixtures of tones, with fields of their spec changed."""
    folder = tmp_path_factory.mktemp("mixtures")
    speech = write_shards(folder / "speech", tones(5, seconds=1.5, split="valid"))

    @cache
    def build(**fields: object) -> dict[str, bytes]:
        spec = MixturesSpec(num_utterances=2, max_seconds=2.0).model_copy(update=fields)
        out = folder / f"{len(list(folder.iterdir()))}"
        out.mkdir()
        build_mixtures(spec, MixSpec(name="much", probability=0.75), [speech], [], [], out)
        return bytes_of(out)

    return build


@pytest.mark.parametrize("change", cases(MIXTURES), ids=str)
def test_a_field_of_the_mixtures_changes_the_mixtures(
    change: Change, mixtures: Callable[..., dict[str, bytes]]
) -> None:
    assert mixtures() != mixtures(**dict([change]))
