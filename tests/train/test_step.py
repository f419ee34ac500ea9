"""An update: what it waits for, what it counts, and that compiled training resumes bit for bit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.train import fakes
from wavlm.engine import checkpoint
from wavlm.engine.checkpoint import CheckpointState, TrainingTensors
from wavlm.engine.optimizer import adamw
from wavlm.engine.ranks import Ranks
from wavlm.engine.wrap import prepare_network
from wavlm.execution.job import TrainJob
from wavlm.loader.batch import Batch
from wavlm.loader.epochs import SamplerState
from wavlm.nn import WavLM
from wavlm.rng import seed_for
from wavlm.specs.shapes import num_parameters
from wavlm.train.masked_prediction import max_masked
from wavlm.train.prefetch import prefetch
from wavlm.train.schedule import LossScale
from wavlm.train.state import TrainingProgress
from wavlm.train.step import Requests, update

pytestmark = pytest.mark.numeric

ALONE = Ranks(0, 1, torch.device("cpu"))
START = SamplerState()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    torch._dynamo.reset()
    with torch._dynamo.config.patch():
        yield


def training_of(job: TrainJob, backend: str = "aot_eager") -> TrainingTensors:
    torch.manual_seed(seed_for(job.train.seed, "init"))
    network = WavLM(job.network, job.num_clusters)
    prepare_network(network, job.runtime, backend)
    return TrainingTensors(network, network, adamw(network, job.train))


def first(job: TrainJob) -> TrainingProgress:
    return TrainingProgress(loss_scale=LossScale.first(job.train))


def batches_of(job: TrainJob, position: SamplerState = START) -> Iterator[Batch]:
    return prefetch(fakes.data(job, ALONE).train(position), ALONE.device)


@pytest.mark.slow
def test_an_update_asks_nothing_of_the_device_before_its_step_is_launched(tmp_path: Path) -> None:
    """Tensors without numbers stand for a device that has not computed any yet."""
    calm = {"layer_drop": 0.0}  # else the host draws on the host, which has numbers
    job = fakes.job(tmp_path, network=calm, train={"precision": "bf16", "unmasked_weight": 0.5})
    batches = list(islice(batches_of(job), 4))
    with FakeTensorMode(allow_non_fake_inputs=True) as pending:
        training = training_of(job)
        moved = [
            replace(
                batch,
                waveforms=pending.from_tensor(batch.waveforms),
                labels=pending.from_tensor(batch.labels),
                mask=pending.from_tensor(batch.mask),
            )
            for batch in batches
        ]
        with pytest.raises(RuntimeError) as error:
            update(job, ALONE, training, iter(moved), first(job), lambda: Requests(checkpoint=True))
    assert "read()" in str(error.traceback[1].statement)
    assert len(training.optimizer.state) == len(list(training.network.parameters()))
    assert all(parameter.grad is None for parameter in training.network.parameters())


def test_wishes_are_asked_for_after_the_batches_and_come_back_with_the_sums(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    read: list[Batch] = []

    def batches() -> Iterator[Batch]:
        for batch in batches_of(job):
            read.append(batch)
            yield batch

    done = update(job, ALONE, training_of(job), batches(), first(job), lambda: Requests(checkpoint=len(read) == 4))
    assert done.requests == Requests(checkpoint=True, stop=False)
    assert done.progress.update == 1


def test_operations_are_counted_for_the_audio_of_the_window(tmp_path: Path) -> None:
    """Three passes of 2 operations a weight and frame, were all of the network linear layers."""
    wide = {"width": 256, "ffn_width": 1024, "num_layers": 4, "position_kernel": 2}
    job = fakes.job(tmp_path, network=wide)
    batches = batches_of(job)
    window = update(job, ALONE, training_of(job), batches, first(job)).progress.window
    frames_per_second = 16000 / (5 * 8)  # by the strides of this extractor
    linear = 6 * num_parameters(job.network, job.num_clusters) * frames_per_second
    assert window.tera_operations * 1e12 == pytest.approx(linear * window.audio_seconds, rel=0.1)


def test_waiting_for_data_is_a_part_of_the_time_of_an_update(tmp_path: Path) -> None:
    job = fakes.job(tmp_path)
    training, batches, progress = training_of(job), batches_of(job), first(job)
    began = time.monotonic()
    for number in (1, 2):
        progress = update(job, ALONE, training, batches, progress).progress
        assert progress.update == number
        assert 0 < progress.window_wait_seconds < progress.window_seconds <= time.monotonic() - began
        assert progress.wall_seconds == progress.window_seconds


@pytest.mark.parametrize(
    ("num_masked", "compiled", "room"),
    [(70, False, 70), (70, True, 76), (77, True, 95), (148, True, 148), (1, True, 19)],
)
def test_room_for_masked_frames_is_exact_or_in_eighths(
    tmp_path: Path, num_masked: int, compiled: bool, room: int
) -> None:
    job = fakes.job(tmp_path)
    batch = next(batches_of(job))
    assert batch.mask.numel() == 148
    assert max_masked(replace(batch, num_masked=num_masked), compiled=compiled) == room


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf")
def test_a_compiled_training_that_is_resumed_ends_with_the_bits_of_one_that_is_not(
    tmp_path: Path,
) -> None:
    job = fakes.job(tmp_path, train={"precision": "bf16"}, compile=True)
    folder = tmp_path / "snapshots"

    def run_updates(training: TrainingTensors, progress: TrainingProgress, updates: int) -> TrainingProgress:
        batches = batches_of(job, progress.position)
        for _ in range(updates):
            progress = update(job, ALONE, training, batches, progress).progress
        return progress

    straight = training_of(job)
    half_way = run_updates(straight, first(job), 2)
    state = CheckpointState(half_way.update, half_way.model_dump(), {}, {})
    checkpoint.write(folder, checkpoint.tensors_of(straight), state, keep=1)
    run_updates(straight, half_way, 2)

    resumed = training_of(job)
    (saved,) = checkpoint.list_checkpoints(folder)
    loaded = TrainingProgress.model_validate(checkpoint.load(saved, resumed))
    run_updates(resumed, loaded, 2)
    for (name, one), other in zip(
        straight.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
