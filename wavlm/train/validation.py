"""How well the network predicts held-out speech, clean or mixed, beside what needs no network.

Masks come from numbers that are the same at every validation, so that curves are comparable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

import torch
from torch import Tensor

from wavlm.execution.job import TrainJob
from wavlm.loader.batch import Batch, PackedBatch
from wavlm.nn import WavLM
from wavlm.train.interrupts import StopRequest, Watchdog
from wavlm.train.objective import Sums, micro_batch_loss, micro_batch_sums, zero_sums
from wavlm.train.prefetch import prefetch
from wavlm.train.ranks import Ranks
from wavlm.train.sharding import keep_whole
from wavlm.train.step import autocast

Metrics = dict[str, float]


def validate(
    job: TrainJob,
    network: WavLM,
    batches: Iterator[PackedBatch],
    ranks: Ranks,
    prefix: str,
    interrupts: tuple[StopRequest, Watchdog],
) -> Metrics | None:
    """Figures under names like `valid/loss`; None if a stop was requested on any rank meanwhile.

    Each rank gets its own share of the batches; ranks may have different numbers of them. A set
    without a masked frame gives no figures: nothing was measured.
    """
    stop, watchdog = interrupts
    sums = zero_sums(ranks.device)
    label_counts = torch.zeros(job.num_clusters, dtype=torch.float64, device=ranks.device)
    network.eval()
    with torch.no_grad(), keep_whole(network), closing(prefetch(batches, ranks.device)) as arriving:
        while True:
            watchdog.feed()
            batch = next(arriving, None)
            stops, goes_on = ranks.any_of(stop.requested, batch is not None)
            if stops:
                network.train()
                return None
            if not goes_on:
                break
            if batch is not None:
                sums += _batch_sums(job, network, batch)
                label_counts.scatter_add_(0, batch.labels.flatten(), batch.mask.flatten().double())
    network.train()
    total = Sums.of(ranks.sum(sums))
    if not total.masked_frames:
        return {}
    return {
        **total.metrics(prefix),
        **label_frequency_metrics(ranks.sum(label_counts), prefix),
    }


def label_frequency_metrics(label_counts: Tensor, prefix: str) -> Metrics:
    """What a guess reaches that knows how often each label (K,) occurs, and nothing else."""
    shares = label_counts / label_counts.sum().clamp(min=1)
    entropy = -(shares * shares.clamp(min=1e-300).log()).sum()
    return {
        f"{prefix}/majority": shares.max().item(),  # accuracy of always saying the commonest label
        f"{prefix}/label_entropy": entropy.item(),  # nats: loss of always saying the frequencies
        f"{prefix}/label_perplexity": math.exp(entropy.item()),
    }


def _batch_sums(job: TrainJob, network: WavLM, batch: Batch) -> Tensor:
    with autocast(job.train, batch.waveforms.device):
        terms = network(batch, temperature=job.train.logit_temperature, with_unmasked=True)
        return micro_batch_sums(micro_batch_loss(terms, job.train), terms, batch)
