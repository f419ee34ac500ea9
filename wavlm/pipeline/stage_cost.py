"""What stages need, and all of them together: core and GPU hours, disk that stays, that is left and that peaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wavlm.execution.rates import CORE_FLOPS
from wavlm.pipeline.amounts import NOTHING, Sum, add
from wavlm.pipeline.evaluation_cost import NO_HEADS, HeadsCost
from wavlm.pipeline.gpus import Gpu, Precision

HEADS = "heads"  # the stage whose core hours, where there is no GPU, are counted for themselves


@dataclass(frozen=True)
class StageCost:
    """One stage of one iteration (0: shared by all). `left_gigabytes` is for what the store does not hold yet."""

    iteration: int
    stage: str
    core_hours: Sum
    disk_gigabytes: Sum = NOTHING  # of what it makes
    left_gigabytes: Sum = NOTHING
    extra_gigabytes: Sum = NOTHING  # more, while it runs
    petaflops: Sum = NOTHING
    precision: Precision = "fp32"

    def gpu_hours(self, gpu: Gpu) -> Sum | None:
        """GPU hours at the assumed utilisation; None if the card does not have the precision."""
        hours = gpu.hours(self.petaflops.known, self.precision)
        return None if hours is None else Sum(hours, self.petaflops.unknown)


@dataclass(frozen=True)
class Cost:
    """Everything a recipe needs; totals are sums over stages."""

    hours: Sum  # of speech
    download_gigabytes: Sum
    left_to_download_gigabytes: Sum
    unknown_hours: tuple[str, ...]  # names of corpora
    parameters: tuple[int, ...]  # per iteration
    epochs: tuple[float | None, ...]  # per iteration; None where the hours of a corpus are unknown
    stages: tuple[StageCost, ...]
    freed_gigabytes: Sum = NOTHING  # by house-keeping, once all is made
    in_place: tuple[str, ...] = ()  # corpora that are read where they lie: their files are in no figure
    unknown_sizes: tuple[str, ...] = ()  # corpora with archives of which nobody says how large they are
    heads: HeadsCost = NO_HEADS  # of all evaluations
    beam_searched: tuple[str, ...] = ()  # tasks whose beam search is not counted

    @property
    def core_hours(self) -> Sum:
        return add(stage.core_hours for stage in self.stages)

    @property
    def core_hours_without_gpu(self) -> Sum:
        """Those of all stages where no GPU computes: networks at the rate of a core, heads at theirs."""
        networks = add(stage.petaflops for stage in self.stages if stage.stage != HEADS)
        return self.core_hours + networks * (1e15 / CORE_FLOPS / 3600) + self.heads.core_hours

    @property
    def disk_gigabytes(self) -> Sum:
        return self.download_gigabytes + add(stage.disk_gigabytes for stage in self.stages)

    @property
    def left_gigabytes(self) -> Sum:
        """Disk that what is not there yet will take: the most at a time."""
        stages = [item for item in self.stages if item.left_gigabytes != NOTHING]
        found = _pile_up(self.left_to_download_gigabytes, ((it.left_gigabytes, it.extra_gigabytes) for it in stages))
        return max((self.left_to_download_gigabytes, *found), key=lambda item: (item.known, item.unknown))

    @property
    def peaks(self) -> tuple[Sum, ...]:
        """The disk that is taken while each stage runs, by all that was made before as well, in gigabytes."""
        return tuple(_pile_up(self.download_gigabytes, ((it.disk_gigabytes, it.extra_gigabytes) for it in self.stages)))

    @property
    def peak_gigabytes(self) -> Sum:
        """The most that is taken at a time, if nothing is deleted meanwhile."""
        return max((self.download_gigabytes, *self.peaks), key=lambda item: (item.known, item.unknown))

    def gpu_hours(self, gpu: Gpu) -> Sum | None:
        """The GPU hours of all stages; None if a stage wants a precision that the card does not have."""
        found = [stage.gpu_hours(gpu) for stage in self.stages]
        return None if None in found else add(item for item in found if item)


def _pile_up(there: Sum, stages: Iterable[tuple[Sum, Sum]]) -> Iterator[Sum]:
    """What is taken while each stage runs. stages: what each leaves, and what it takes beside while it runs."""
    for left, extra in stages:
        there = there + left
        yield there + extra
