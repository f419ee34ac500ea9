"""Numbers of a recipe that do not fit each other or the machine: ranks, lengths of clips, frames of the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from wavlm.errors import BadDataError, CodedError, UsageError
from wavlm.pipeline.amounts import add, hours_of
from wavlm.pipeline.artifacts import Codebook, Finetune, Model
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.imported import network_of
from wavlm.pipeline.mixed import expect_alone
from wavlm.specs import SAMPLE_RATE_HZ, ExternalLabelsSpec, MfccFeatures
from wavlm.specs.evaluation import FbankBaseline, MfccBaseline
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid, labels_per_frame, mfcc_per_frame

LEAST_FRAMES = {"xvector": 16, "ecapa": 2}  # of heads of one vector per recording: context, and two for a variance


def check_ranks(wanted: Wanted) -> Iterator[Finding]:
    """Every rank gets the same number of an update's micro-batches."""
    nodes = wanted.runtime.nodes
    here = wanted.runtime.gpus or wanted.runtime.processes
    ranks = nodes * (here or 1) if here or nodes > 1 else 0  # 0: as many as this machine's cores and the batches allow
    option = ("--gpus" if wanted.runtime.gpus else "--processes") + (f" with --nodes {nodes}" if nodes > 1 else "")
    for model in wanted.of(Model) if ranks else ():
        count = model.train.micro_batches_per_update
        if count % ranks:
            possible = ", ".join(str(number) for number in range(1, count + 1) if count % number == 0)
            yield UsageError(
                "RANKS",
                f"{count} micro-batches per update cannot be shared evenly by {ranks}; at {option}, "
                f"iteration {model.iteration}; choose one of {possible}",
            )
        else:
            yield Remark(f"iteration {model.iteration}: {count} micro-batches per update for {ranks} ranks")
    for system in wanted.of(Finetune) if ranks else ():
        yield from _check_stages(system, ranks, option)


def _check_stages(system: Finetune, ranks: int, option: str) -> Iterator[Finding]:
    """Every rank gets the same number of micro-batches in each stage of fine-tuning."""
    for number, stage in enumerate(system.spec.stages, 1):
        count = stage.micro_batches_per_update
        if count % ranks:
            possible = ", ".join(str(each) for each in range(1, count + 1) if count % each == 0)
            yield UsageError(
                "RANKS",
                f"{count} micro-batches per update cannot be shared evenly by {ranks}; at {option}, stage {number} of "
                f"{system.name}; choose one of {possible}",
            )


def check_crops(wanted: Wanted) -> Iterator[Finding]:
    """The shortest utterance that the shards let in, cropped, is long enough for the masks."""
    for model in wanted.of(Model):
        needed = model.train.min_crop_frames
        shortest = min((item.spec.min_seconds for item in model.shards), default=0.0)
        for field, seconds in (
            ("shards.min_seconds", shortest),
            ("train.max_crop_seconds", model.train.max_crop_seconds),
        ):
            grid, multiple = FrameGrid.of(model.network), model.train.crop_frames_multiple
            frames = _crop_frames(seconds, multiple, grid)
            if frames < needed:
                yield UsageError(
                    "JOB",
                    f"a clip of {seconds:g} s gives a crop of {frames} frames, masks need {needed}; at {field}, "
                    f"iteration {model.iteration}; raise it to {_seconds(needed, multiple, grid):g}, "
                    "or lower mask.length or mask.min_spans",
                )


def check_sample(wanted: Wanted) -> Iterator[Finding]:
    """A codebook has at least one frame per cluster, as far as the hours of its speech are known."""
    for codebook in wanted.of(Codebook):
        if not codebook.shards or codebook.spec.type == "random_projection":
            continue
        hours = add(hours_of(item, wanted.store) for item in codebook.shards)
        grid = codebook.grid or PAPER_FRAMES
        per_frame = mfcc_per_frame(grid) if isinstance(codebook.spec.features, MfccFeatures) else 1
        frames, clusters = round(hours.known * 3600 * per_frame * grid.rate_hz), codebook.spec.num_clusters
        if not hours.unknown and frames < clusters:
            yield BadDataError(
                "TOO_FEW_FRAMES",
                f"{hours.known:g} h of speech have {frames} frames, expected at least one per cluster; "
                f"at {clusters} clusters of {codebook.name}; give more speech, or ask for fewer clusters",
            )


def check_mixing(wanted: Wanted) -> Iterator[Finding]:
    """Speech finds other speech to be mixed with."""
    for model in wanted.of(Model):
        if alone := expect_alone(model):
            yield Remark(f"iteration {model.iteration}: {alone}", is_warning=True)


def check_frames(wanted: Wanted) -> Iterator[Finding]:
    """The network is for the sample rate of its shards, and labels of others have one or two labels per frame."""
    for model in wanted.of(Model):
        rate_hz = model.shards[0].spec.sample_rate_hz if model.shards else SAMPLE_RATE_HZ
        grid = FrameGrid.of(model.network)
        if grid.sample_rate_hz != rate_hz:
            yield UsageError(
                "JOB",
                f"the network makes {grid}, its shards have {rate_hz} Hz; at network.conv_layers of iteration "
                f"{model.iteration}; take strides whose product is {FrameGrid.standard(rate_hz).hop_samples}, for 50 "
                f"frames per second, or give the network sample_rate_hz {rate_hz}",
            )
        elif not grid.is_standard:
            yield Remark(f"iteration {model.iteration}: {grid}; lengths of masks and of positions are in frames")
        if model.codebook and isinstance(spec := model.codebook.spec, ExternalLabelsSpec):
            try:
                labels_per_frame(spec.rate_hz, grid)
            except ValueError as error:
                yield UsageError("JOB", f"{error}; at codebook.rate_hz of iteration {model.iteration}; give that rate")


def _crop_frames(seconds: float, multiple: int, grid: FrameGrid) -> int:
    """Frames of the crop of an utterance, as the sampler rounds them."""
    frames = int(grid.count(round(seconds * grid.sample_rate_hz)))
    return frames if frames < multiple else frames // multiple * multiple


def _seconds(frames: int, multiple: int, grid: FrameGrid) -> float:
    """The shortest length that gives at least so many frames, rounded up to 0.01 s."""
    crop = -(-frames // multiple) * multiple if frames > multiple else frames
    return -(-grid.samples_of(crop) * 100 // grid.sample_rate_hz) / 100


def check_system_frames(wanted: Wanted) -> Iterator[Finding]:
    """Systems stand on models with a frame every 20 ms: heads and targets count in them."""
    for system in wanted.of(Finetune):
        network = None
        with suppress(CodedError):  # another check says so
            network = network_of(system.stands_on, wanted.store)
        if network is None or (grid := FrameGrid.of(network)).is_standard:
            continue
        yield UsageError(
            "SAMPLE_RATE",
            f"{system.name} stands on a model that makes {grid}, expected a frame of 25 ms every 20 ms, which heads "
            "and targets count in; at the system's model; take a model with 50 frames per second",
        )


def check_stretches(wanted: Wanted) -> Iterator[Finding]:
    """The crops of fine-tuning have the frames that the head needs."""
    for system in wanted.of(Finetune):
        needed = LEAST_FRAMES.get(system.spec.head.type, 1)
        is_by_10_ms = isinstance(system.stands_on, FbankBaseline | MfccBaseline)
        for number, stage in enumerate(system.spec.stages, 1):
            if stage.crop_seconds is None:
                continue
            samples = round(stage.crop_seconds * SAMPLE_RATE_HZ)
            frames = int(PAPER_FRAMES.count(samples)) * (2 if is_by_10_ms else 1)
            if frames < needed:
                yield UsageError(
                    "CROP_SHORT",
                    f"crops of {stage.crop_seconds:g} s have {frames} frames, the head {system.spec.head.type} needs "
                    f"{needed}; in stage {number} of {system.name}; raise crop_seconds",
                )
