"""The processes that train together, their threads and devices: the only place that reads the environment."""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from wavlm.errors import CodedError, ServiceMissingError, StoppedError
from wavlm.execution.processes import tie_to_parent
from wavlm.execution.runtime import Runtime

COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=2)
WRITING_TIMEOUT = datetime.timedelta(hours=1)  # of rank 0, on a slow disk, with the others waiting
# Of a rank that compiles what its groups are the first to need, with the others waiting.
COMPILING_TIMEOUT = datetime.timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """Who this process is among the processes that train together."""

    rank: int
    world: int
    device: torch.device
    patient: dist.ProcessGroup | None = None  # of all ranks, for what may take WRITING_TIMEOUT

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, the same on each; `values` stays as it is."""
        total = values.clone()
        if self.world > 1:
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - it is the value, not a switch
        """Whether the flag is set on any rank; all ranks get the same answer."""
        return self.any_of(flag)[0]

    def any_of(self, *flags: bool) -> list[bool]:
        """`any` of each of several flags, in one exchange."""
        if self.world == 1:
            return list(flags)
        # Hosts ask hosts: no device is waited for.
        total = torch.tensor(flags, dtype=torch.int64, device="cpu")
        dist.all_reduce(total, group=self.patient)
        return [count > 0 for count in total.tolist()]

    def gather(self, text: str) -> list[str]:
        """What each rank says, in order of rank."""
        if self.world == 1:
            return [text]
        texts: list[str] = [""] * self.world
        dist.all_gather_object(texts, text, group=self.patient)
        return texts

    def wait(self) -> None:
        """Return once all ranks are here, whatever kept them: no step is that slow."""
        if self.world > 1:
            dist.barrier(group=self.patient)

    def once(self, work: Callable[[], object]) -> None:
        """Have rank 0 do some work, with files for one, and return on all ranks when it is done.

        If it fails for a reason that people act on, all ranks raise the error, and so end with the
        same code.
        """
        failure: list[Exception | None] = [None]
        if self.leads:
            try:
                work()
            except (CodedError, OSError) as error:
                failure = [error]
        if self.world > 1:
            dist.broadcast_object_list(failure, src=0, group=self.patient)
        if failure[0]:
            raise failure[0]


@contextmanager
def join_ranks(runtime: Runtime) -> Iterator[Ranks]:
    """Join the processes that torchrun started, or be the only one; sets threads and device.

    Raises ServiceMissingError if GPUs are asked for and there are none.
    """
    rank, world, local_rank, local_world = (
        int(os.environ.get(name, default))
        for name, default in (
            ("RANK", "0"),
            ("WORLD_SIZE", "1"),
            ("LOCAL_RANK", "0"),
            ("LOCAL_WORLD_SIZE", "1"),
        )
    )
    if "TORCHELASTIC_RUN_ID" in os.environ:
        tie_to_parent(signal.SIGKILL)  # torchrun killed -9 would leave its workers training
    # Sums depend on how they are split over threads: an exact resume needs a fixed number.
    torch.set_num_threads(runtime.threads or max(1, _num_cores() // local_world))
    device = _device(runtime, local_rank)
    if world == 1:
        yield Ranks(rank, world, device)
        return
    if world == local_world:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # one machine: listen on loopback alone
    is_cuda = device.type == "cuda"
    dist.init_process_group(
        "nccl" if is_cuda else "gloo",
        timeout=COMPILING_TIMEOUT if runtime.compile else COLLECTIVE_TIMEOUT,
        device_id=device if is_cuda else None,
    )
    # NCCL's goodbye waits for all ranks. After an error of one alone it would hang, and nobody
    # would learn of the error; torchrun ends the others when this process ends.
    together = not is_cuda
    try:
        yield Ranks(rank, world, device, dist.new_group(backend="gloo", timeout=WRITING_TIMEOUT))
        together = True
    except StoppedError:  # all ranks raise it after the same update
        together = True
        raise
    finally:
        if together:
            dist.destroy_process_group()


def _device(runtime: Runtime, local_rank: int) -> torch.device:
    if runtime.gpus == 0:
        return torch.device("cpu")
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_devices <= local_rank:
        raise ServiceMissingError(
            "DEVICE_MISSING",
            f"runtime.gpus is {runtime.gpus}, but this machine shows {num_devices} CUDA devices "
            f"and this process wants number {local_rank}; lower runtime.gpus (0: train on the CPU)",
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    # Equal bits in every run are wanted of all operators, and of a product in 16 bits sums in fp32
    # even where it is split over many processors.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # as torch has it for products: fp32 means fp32
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    return device


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
