"""The executor that `Runtime` names: where the parts of stages are made. No spec names one; no byte depends on it."""

from __future__ import annotations

from pathlib import Path

from wavlm.execution.parts import RunParts
from wavlm.execution.pool import run_in_pool
from wavlm.execution.runtime import Runtime


def choose_executor(runtime: Runtime, root: Path) -> RunParts:
    """The executor for stages that fill folders below `root`."""
    if runtime.executor == "local":
        return run_in_pool
    from wavlm.execution.cluster import Cluster

    return Cluster(runtime.cluster, root)
