"""Validation: metrics of the objective on held-out speech, clean or mixed.

The masks come from seeds that are the same in every validation, so that the points of a curve are comparable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import torch

from wavlm.engine.interrupts import Watchdog
from wavlm.engine.named_numbers import NamedNumbers
from wavlm.engine.ranks import Ranks
from wavlm.engine.sharding import keep_whole
from wavlm.execution.job import TrainJob
from wavlm.execution.stop import StopRequest
from wavlm.loader.batch import PackedBatch
from wavlm.mixing.counts import MixingCounts
from wavlm.nn import WavLM
from wavlm.train.objective import build_objective
from wavlm.train.prefetch import prefetch
from wavlm.train.step import autocast

Metrics = dict[str, float]

LANGUAGE_PREFIX = "valid_language/"  # and then the name of a language
OF_LANGUAGE = ("loss", "masked_accuracy", "majority", "contrast_accuracy", "hard_perplexity")


def validate(
    job: TrainJob,
    network: WavLM,
    batches: Iterator[PackedBatch],
    ranks: Ranks,
    prefix: str,
    interrupts: tuple[StopRequest, Watchdog],
) -> Metrics | None:
    """Metrics under names like `valid/loss`; None if a stop was requested on any rank meanwhile.

    Each rank gets batches of its own; ranks may have different numbers of them.
    The metrics are empty if nothing was measured, such as no masked frame.
    """
    stop, watchdog = interrupts
    measured = build_objective(job.train).validation(job.num_clusters, ranks.device, job.num_streams)
    mixing = MixingCounts()
    network.eval()
    with torch.no_grad(), keep_whole(network), closing(prefetch(batches, ranks.device)) as arriving:
        while True:
            watchdog.feed()
            batch = next(arriving, None)
            stops, any_batch = ranks.any_of(stop.requested, batch is not None)
            if stops or not any_batch:
                break
            if batch is not None:
                with autocast(job.train, batch.waveforms.device):
                    measured.add(network, batch)
                mixing = mixing.plus(batch.mixing)
    network.train()
    return None if stops else _keep(measured.metrics(ranks, prefix) | _heard_metrics(mixing, ranks, prefix), prefix)


def _keep(values: Metrics, prefix: str) -> Metrics:
    """What goes into the curve: few metrics of each language, because there may be 200 of them."""
    if not prefix.startswith(LANGUAGE_PREFIX):
        return values
    return {name: value for name, value in values.items() if name.removeprefix(f"{prefix}/") in OF_LANGUAGE}


def _heard_metrics(mixing: MixingCounts, ranks: Ranks, prefix: str) -> Metrics:
    """How many utterances all ranks measured, and in how many something mixed in was heard; none for a clean set."""
    total = MixingCounts.from_numbers(NamedNumbers.pack(mixing.numbers, ranks.device).over_ranks(ranks).start_read()())
    heard = total.with_speech + total.with_noise
    return {f"{prefix}/utterances": total.utterances, f"{prefix}/heard": heard} if heard else {}
