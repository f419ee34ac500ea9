"""The network that a training begins with: random weights, or those of a model, with its head or a fresh one."""

from __future__ import annotations

import logging
from typing import Literal

from wavlm.execution.job import TrainJob
from wavlm.nn import WavLM
from wavlm.nn.description import HEAD_PREFIX, WEIGHTS_FILE, ModelFileError
from wavlm.nn.files import describe, network_from, read_weights
from wavlm.nn.start import Labelling, check_start
from wavlm.storage.files import sha256_of

log = logging.getLogger(__name__)

Head = Literal["random", "kept", "fresh"]  # random: with all other weights


def build_network(job: TrainJob) -> tuple[WavLM, Head]:
    """The network in training mode, and where its head comes from.

    Random weights are drawn from torch's default generator: all of them, or those of a fresh head, whose sizes are the
    recipe's.
    Raises UsageError or BadDataError if the model to start from is of another network, damaged, or other bytes than the
    recipe says.
    """
    random = WavLM(job.network, job.num_clusters, num_streams=job.num_streams, quantizer=job.train.quantizer)
    if job.start is None:
        return random, "random"
    path = job.start.folder / WEIGHTS_FILE
    labelling = Labelling(job.num_clusters, job.codebook, job.num_streams, job.train.quantizer)
    head = check_start(job.start.folder, job.network, labelling)
    if (found := sha256_of(path)) != job.start.sha256:
        raise ModelFileError(f"found sha256 {found}, the recipe expects {job.start.sha256}; at {path}")
    weights = read_weights(path)
    if not head.is_kept:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(HEAD_PREFIX)}
        weights |= {name: tensor for name, tensor in random.state_dict().items() if name.startswith(HEAD_PREFIX)}
    log.info("starting from %s; %s", path, head)
    return network_from(describe(random), weights, where=path).train(), "kept" if head.is_kept else "fresh"
