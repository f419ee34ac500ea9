"""Build what a stage trains: the system, what of it is frozen, and its optimizer with rates from layer to layer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from wavlm.errors import UsageError
from wavlm.evaluation.features.states import CLUSTERS_OF_RANDOM
from wavlm.evaluation.tasks.task import Size, Trainee
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.features.fbank import FBANK_CHANNELS
from wavlm.features.layers import check_grid
from wavlm.features.mfcc import MFCC_CHANNELS, MFCC_HOP_SAMPLES
from wavlm.finetune.rates import is_frozen, rate_factor
from wavlm.finetune.start_head import check_start, take_head
from wavlm.finetune.system import TunedSystem, size_of
from wavlm.nn import WavLM, load_model
from wavlm.nn.description import WEIGHTS_FILE, ModelFileError
from wavlm.rng import seed_for
from wavlm.specs.evaluation import BaselineSpec, RandomBaseline
from wavlm.specs.frames import FrameGrid
from wavlm.specs.schedules import OptimizerSpec, SgdSpec
from wavlm.specs.stages import FinetuneStage
from wavlm.storage.files import sha256_of

CHANNELS = {"fbank": FBANK_CHANNELS, "mfcc": MFCC_CHANNELS}

log = logging.getLogger(__name__)


def open_network(job: FinetuneJob) -> WavLM | None:
    """The network that the system stands on; None for baselines without one. Checks a head that is gone on from.

    Speech is resampled to its rate (wavlm.finetune.system).
    Raises ModelFileError if the weights are not those that the job names, and UsageError (SAMPLE_RATE) for a network
    that has no frame every 20 ms, which heads and targets count in.
    """
    if job.head is not None:
        check_start(job.spec, job.head.folder)
    if job.start is None:
        network = random_network(job.spec.baseline)
        return network and _count_by_20_ms(network, f"the baseline of {job.spec.name}")
    path = job.start.folder / WEIGHTS_FILE
    if (found := sha256_of(path)) != job.start.sha256:
        raise ModelFileError(f"found sha256 {found}, the job expects {job.start.sha256}; at {path}")
    return _count_by_20_ms(load_model(job.start.folder), job.start.folder)


def _count_by_20_ms(network: WavLM, where: Path | str) -> WavLM:
    check_grid(grid := FrameGrid.of(network.network), FrameGrid.standard(grid.sample_rate_hz), where)
    return network


def random_network(baseline: BaselineSpec | None) -> WavLM | None:
    """The network of the baseline `random`, with the weights that evaluations of it have; None for the others."""
    if not isinstance(baseline, RandomBaseline):
        return None
    assert baseline.network is not None  # noqa: S101 - a plan fills it in
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(baseline.seed, "random weights") % 2**63)
        return WavLM(baseline.network, CLUSTERS_OF_RANDOM)


def find_size(job: FinetuneJob, network: WavLM | None) -> Size:
    """What the head has to know of the states."""
    kind = job.spec.baseline.type if job.spec.baseline else ""
    return size_of(network, CHANNELS.get(kind, 0), MFCC_HOP_SAMPLES)


def build_system(
    job: FinetuneJob, network: WavLM | None, trainee: Trainee, size: Size, device: torch.device, *, is_pooled: bool
) -> TunedSystem:
    """The system with a fresh head, which the seed decides, or with the head of the one that it goes on from."""
    torch.manual_seed(seed_for(job.spec.seed, "head"))
    head = trainee.make_head(size)
    take_head(job, head, trainee, size)
    return TunedSystem(network, head, is_pooled=is_pooled).to(device)


def check_heads(trainees: Sequence[Trainee], size: Size) -> None:
    """Raise UsageError (HEAD_SHAPE) for a stage whose head cannot take the weights of the first one's.

    A field of the head that a stage gives replaces the whole of it, so a loss there without its centres has one.
    """
    with torch.random.fork_rng(devices=[]):
        shapes = [
            {name: tuple(value.shape) for name, value in trainee.make_head(size).state_dict().items()}
            for trainee in trainees
        ]
    for number, found in enumerate(shapes[1:], 2):
        if misfit := sorted(name for name in shapes[0].keys() | found if shapes[0].get(name) != found.get(name)):
            name = misfit[0]
            raise UsageError(
                "HEAD_SHAPE",
                f"stage {number} has {name} {found.get(name)}, stage 1 has {shapes[0].get(name)}; in `head` of the "
                "stage; give every field of the part that differs, with the same widths and centres",
            )


def change_head(system: TunedSystem, trainee: Trainee, size: Size, device: torch.device) -> None:
    """Give the system the head as the next stage has it, with the weights that it has now."""
    head = trainee.make_head(size).to(device)
    head.load_state_dict(system.head.state_dict())
    system.head = head


def prepare_stage(system: TunedSystem, stage: FinetuneStage, own: float) -> torch.optim.Optimizer:
    """Freeze what the stage freezes, set its layer drop, and make its optimizer. own: the layer drop of the network."""
    network = system.network
    if network is not None:
        drop = own if stage.layer_drop is None else stage.layer_drop
        network.network = network.network.model_copy(update={"layer_drop": drop})
    norm_first = network is not None and network.network.norm_first
    num_layers = network.network.num_layers if network is not None else 0
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in system.named_parameters():
        frozen = is_frozen(name, stage, norm_first=norm_first)
        parameter.requires_grad_(not frozen)
        parameter.grad = None
        if not frozen:
            factor = rate_factor(name, num_layers, stage, norm_first=norm_first)
            groups.setdefault((name.startswith("network."), factor), []).append(parameter)
    return _optimizer(
        [{"params": parameters, "factor": factor} for (_, factor), parameters in groups.items()],
        stage.optimizer,
        stage.peak_lr,
    )


def _optimizer(groups: list[dict[str, object]], spec: OptimizerSpec, lr: float) -> torch.optim.Optimizer:
    """Fused, because only fused optimizers take the decision not to step from the device."""
    if isinstance(spec, SgdSpec):
        return torch.optim.SGD(
            groups,
            lr=lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if spec.type == "adam" else torch.optim.AdamW
    return kind(groups, lr=lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay, fused=True)
