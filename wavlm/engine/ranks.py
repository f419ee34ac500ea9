"""Distributed training: the ranks (processes), their device, threads and collectives.

With `wavlm.engine.rendezvous` the only module of the trainer that reads environment variables.
"""

from __future__ import annotations

import datetime
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from wavlm.engine.board import Board
from wavlm.engine.rendezvous import meet, name_interface
from wavlm.errors import CodedError, RankLostError, ServiceMissingError, StoppedError
from wavlm.execution.meeting import find_way_to
from wavlm.execution.processes import num_cores, tie_to_parent
from wavlm.execution.runtime import Runtime
from wavlm.execution.supervisor import STORE_HOST

SOCKET_NAMES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
MOST_CHARACTERS = 300  # of what a library says
COLLECTIVE_TIMEOUT = datetime.timedelta(minutes=2)
WRITING_TIMEOUT = datetime.timedelta(hours=1)  # rank 0 writes to a slow disk while the others wait
# One rank compiles for a shape that only its micro-batch has, while the others wait.
COMPILING_TIMEOUT = datetime.timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process among the processes that train together, and their collectives."""

    rank: int
    world: int
    device: torch.device
    patient: dist.ProcessGroup | None = None  # of all ranks, on the CPU, with WRITING_TIMEOUT
    local_rank: int = 0  # among those of this machine
    board: Board = field(default_factory=lambda: Board(None), compare=False)  # what each rank does now

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, the only one that writes files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, the same on each; `values` stays as it is."""
        total = values.clone()
        if self.world > 1:
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - a value, not a switch
        """Whether the flag is set on any rank; the same result on all ranks."""
        return self.any_of(flag)[0]

    def any_of(self, *flags: bool) -> list[bool]:
        """`any` of each of several flags, in one exchange."""
        if self.world == 1:
            return list(flags)
        # An exchange between CPUs: it waits for no GPU.
        total = torch.tensor(flags, dtype=torch.int64, device="cpu")
        dist.all_reduce(total, group=self.patient)
        return [count > 0 for count in total.tolist()]

    def gather(self, text: str) -> list[str]:
        """The text of each rank, in order of rank."""
        if self.world == 1:
            return [text]
        texts: list[str] = [""] * self.world
        dist.all_gather_object(texts, text, group=self.patient)
        return texts

    def wait(self) -> None:
        """Return when all ranks have called this, with WRITING_TIMEOUT: one of them may be slow."""
        if self.world > 1:
            dist.barrier(group=self.patient)

    @contextmanager
    def one_first(self) -> Iterator[bool]:
        """A block that one rank of each machine runs first, and the others when all of these are done.

        Yields whether this is such a rank. A CodedError or OSError of a first rank is raised on all ranks.
        """
        is_first = self.local_rank == 0
        if not is_first:
            self._await_first(None)
        try:
            yield is_first
        except (CodedError, OSError) as error:
            if is_first and self.world > 1:
                self._await_first(error)
            raise
        if is_first:
            self._await_first(None)

    def _await_first(self, own: Exception | None) -> None:
        """Exchange what the first ranks of the machines met."""
        if self.world == 1:
            return
        failures: list[Exception | None] = [None] * self.world
        dist.all_gather_object(failures, own, group=self.patient)
        if failure := next((error for error in failures if error), None):
            raise failure

    def once(self, work: Callable[[], object]) -> None:
        """Do some work on rank 0 alone, such as writing files. Returns on all ranks when it is done.

        A CodedError or OSError of the work is raised on all ranks, so that they all exit with the same code.
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
    """Join the other processes of a training, or be the only one. Sets the number of threads and the device.

    wavlm.execution.supervisor starts the processes of one machine, torchrun those of several.

    Raises ServiceMissingError if the runtime wants more GPUs than the machine has.
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
        tie_to_parent(signal.SIGKILL)  # a torchrun killed by SIGKILL would leave its workers running
    # Sums depend on how they are split over threads, so an exact resume needs a fixed number of threads.
    torch.set_num_threads(runtime.threads or max(1, num_cores() // local_world))
    device = _device(runtime, local_rank)
    if world == 1:
        yield Ranks(rank, world, device)
        return
    if world == local_world:  # one machine: nothing listens beyond it, whatever a cluster's environment says
        os.environ |= dict.fromkeys(SOCKET_NAMES, LOOPBACK)
    elif STORE_HOST in os.environ:  # the network in which rank 0 listens, unless a cluster says another one
        found = name_interface(find_way_to(os.environ[STORE_HOST]))
        os.environ |= {name: os.environ.get(name) or found for name in SOCKET_NAMES if found}
    is_cuda = device.type == "cuda"
    own = meet(rank, world)
    dist.init_process_group(
        "nccl" if is_cuda else "gloo",
        timeout=COMPILING_TIMEOUT if runtime.compile else COLLECTIVE_TIMEOUT,
        device_id=device if is_cuda else None,
        **own,
    )
    # Destroying an NCCL group waits for all ranks. After an error on one rank alone it would hang and hide
    # the error. The supervisor, or torchrun, ends the other ranks when this process ends.
    together = not is_cuda
    try:
        board = Board(own.get("store"), rank, world)
        patient = dist.new_group(backend="gloo", timeout=WRITING_TIMEOUT)
        with _explain_lost_rank():
            yield Ranks(rank, world, device, patient, local_rank, board)
        together = True
    except StoppedError:  # raised on all ranks after the same update
        together = True
        raise
    finally:
        if together:
            dist.destroy_process_group()


@contextmanager
def _explain_lost_rank() -> Iterator[None]:
    """Raise RankLostError for what gloo or NCCL says when another rank has gone or does not answer."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo/" not in str(error):  # gloo has no class of its own
            raise
        what = " ".join(str(error).split())[:MOST_CHARACTERS]
        raise RankLostError(
            "RANK_LOST",
            f"the connection to another rank is lost: {what}; at {socket.gethostname()}; see what the others say, and "
            "run the same command again: it goes on from the last checkpoint",
        ) from error


def _device(runtime: Runtime, local_rank: int) -> torch.device:
    if runtime.gpus == 0:
        return torch.device("cpu")
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_devices <= local_rank:
        raise ServiceMissingError(
            "DEVICE_MISSING",
            f"runtime.gpus is {runtime.gpus}, but this machine has {num_devices} CUDA devices; "
            f"at the process that needs device {local_rank}; lower runtime.gpus (0: train on the CPU)",
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    # Every operator must give the same bits in every run. Products in 16 bits must be summed in fp32,
    # also where the sum is split over several multiprocessors.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # off by default in torch's matrix products: fp32 means fp32
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    return device
