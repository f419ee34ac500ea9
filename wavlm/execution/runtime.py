"""Options of how to run: workers, GPUs, processes, threads. No field of `Runtime` is part of an artifact's key."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from wavlm.specs.base import Count, Natural

LOADERS_PER_GPU = 4
ExecutorName = Literal["local", "dask"]
TORCHRUN = "torchrun"


class Runtime(BaseModel):
    """How to run, never what to make: options of the command line, not fields of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    workers: Natural = 2
    """Processes that make shards and labels, and that load training data. 0: no other process (--workers).

    Unit: processes; for loading: per GPU, and then at least 4.
    Change: to the number of cores.
    """

    gpus: Natural = 0
    """GPUs to train on. 0: train on the CPU (--gpus).

    Unit: GPUs of this machine.
    Change: to a divisor of the micro-batches per update (`batch_seconds` / `group_seconds`).
    """

    processes: Natural = 0
    """Training processes on the CPU. 0: as many as cores and micro-batches allow (--processes).

    Unit: processes.
    Change: to a divisor of the micro-batches per update, when other work needs the cores.
    """

    threads: Natural = 0
    """Threads of PyTorch per training process. 0: cores divided by processes (--threads).

    Unit: threads.
    Change: 1 on a busy machine: several threads then wait for each other (docs/log.md).
    """

    snapshot_every: Natural = 0
    """Updates between two checkpoints. 0: a checkpoint every five minutes (--snapshot-every).

    Unit: updates.
    Change: when the disk is slow, or when a machine is often taken away.
    """

    keep_snapshots: Count = 2
    """How many checkpoints are kept. Older ones are deleted.

    Unit: checkpoints.
    Change: more when a damaged disk is feared; every checkpoint takes the space of weights and optimizer state.
    """

    compile: bool = False
    """True: compile the network with torch.compile (--compile).

    Change: true on a GPU, with `crop_frames_multiple` 32 in the recipe. On a CPU it gains nothing (docs/log.md).
    """

    checkpoint_activations: bool = False
    """True: compute activations a second time in the backward pass instead of keeping them (--checkpoint-activations).

    Change: true when a micro-batch does not fit into the GPU's memory. It costs time, not quality.
    """

    shard_parameters: bool = False
    """True: split weights and optimizer state over all ranks, with FSDP2 (--shard-parameters).

    Change: true for networks of Large size and above.
    """

    tracking: bool = True
    """True: send curves to MLflow while training. False: `wavlm sync` uploads later (--no-tracking).

    Change: false on a machine that does not reach the MLflow server.
    """

    wait_minutes: Natural = 720
    """How long to wait while another run makes or uses what this one needs. 0: refuse at once (--wait).

    Unit: minutes, for each artifact.
    Change: 0 in scripts that have other work to do; more than the longest stage of overlapping schedules.
    """

    experiment: str = ""
    """The MLflow experiment that runs go to. Empty: MLFLOW_EXPERIMENT_NAME, else one per recipe (--experiment).

    Change: to compare the runs of several recipes in one list.
    """

    require_registry: bool = False
    """True: a run whose models are not registered in the end fails. False: it warns (--require-registry).

    Change: true where somebody waits for the version, not for the model.
    """

    scratch: str = ""
    """A folder on a disk of each machine's own, for what training makes of its data. Empty: in the store (--scratch).

    Change: to a fast local disk when the store is on a shared one: labels are then read from there.
    """

    executor: ExecutorName = "local"
    """Where the parts of shards, labels and the like are made: on this machine, or on a Dask cluster (--executor).

    Change: dask when there are more machines than one. The bytes are the same.
    """

    cluster: str = ""
    """Address or file of a running Dask scheduler. Empty: a cluster of this machine, with `workers` (--cluster).

    Change: to `tcp://host:8786`, `tls://host:8786`, or the file that `dask scheduler --scheduler-file` writes.
    """

    downloads: Count = 2
    """Corpora that one run downloads at a time. A deployment has a limit for all runs besides (--downloads).

    Unit: corpora.
    Change: 1 where a publisher asks for it; more where each server is slow.
    """

    side_by_side: Natural = 0
    """Stages that share the cores at a time. 0: one, or four on a cluster; of evaluations one per core, at most four
    (--side-by-side). With `gpus`, evaluations run side by side on as many GPUs.

    Unit: stages, beside downloads and one stage that needs a GPU.
    Change: 2 when stages have too few parts for all cores; 1 when evaluations need too much memory side by side.
    """

    nodes: Count = 1
    """Machines that train one model together. All of them see the store, and have as many GPUs or processes (--nodes).

    Unit: machines.
    Change: start the same command on each of them, or name what starts programs on them in `launcher`.
    """

    launcher: str = ""
    """What starts a program on every machine, such as `srun --ntasks-per-node=1`. Empty: the same command runs on each
    of them, and they find each other in the store. `torchrun`, alone or last: it starts the ranks of each machine
    (--launcher).

    Change: `srun ...` inside of a batch job of Slurm; empty where every machine or pod runs `wavlm run`.
    """

    address: str = ""
    """The address of this machine that the others reach. Empty: that of its name (--address).

    Change: to that of a faster or a private network.
    """

    restarts: Natural = 0
    """How often a training goes on by itself when a rank or a machine was lost, hung, or could not read (--restarts).

    Unit: times, each of them from the last checkpoint.
    Change: 3 or more on several machines.
    """

    mirror: str = ""
    """A bucket that several machines share in place of a disk. Empty: there is none (--mirror).

    What it has is fetched, and what is made is pushed. Credentials come from the environment alone.
    Change: to `s3://bucket/folder`, or to `file:///folder` on a disk that machines share.
    """

    cache: str = ""
    """A folder of each machine for the cache of the mirror. Empty: in `scratch`, or in the store (--cache).

    Change: to a fast local disk.
    """

    cache_gigabytes: Natural = 0
    """Bound of that cache, through which tars are read. 0: no cache, they are fetched whole (--cache-gigabytes).

    Unit: gigabytes.
    Change: where the tars do not fit on the disk. A training in windows (`window_shards`) does not use it: it fetches
    parts of tars to `scratch`, which has three windows.
    """

    features_gigabytes: Natural = 50
    """What the features of evaluations may take in the store after each of them (--features-gigabytes).

    What was not used longest is deleted; it is computed again where it is wanted. While an evaluation runs, all of its
    own features are there.
    Unit: gigabytes.
    Change: larger where many tasks on the same data follow each other; 0 keeps none.
    """

    @property
    def starts_nodes(self) -> bool:
        """Whether the launcher starts programs on the other machines. torchrun alone starts ranks of one machine."""
        return self.launcher.split() not in ([], [TORCHRUN])

    @property
    def loaders(self) -> int:
        """Number of loading processes per rank.

        One core loads 5,000 to 10,000 times real time. A GPU may train Base at 9,000 times real time. It must not
        wait for data, whatever else the machine does.
        """
        return max(self.workers, LOADERS_PER_GPU) if self.gpus and self.workers else self.workers
