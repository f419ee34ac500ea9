"""The data of a training job: batches for training and validation, of one rank."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from wavlm.engine.ranks import Ranks
from wavlm.errors import UsageError
from wavlm.execution.job import TrainJob, name_corpora
from wavlm.loader.batch import PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.loader.groups import Groups, name_measured
from wavlm.loader.loader import loader
from wavlm.loader.samples import TrainingSamples
from wavlm.loader.validation import make_validation, open_held_out
from wavlm.train.loop import Data
from wavlm.train.validation import LANGUAGE_PREFIX


def data_of(job: TrainJob, ranks: Ranks) -> Data:
    """Streams of batches from the job's shards, labels and mixtures.

    Raises UsageError if the data do not fit the job.
    """

    def train(position: SamplerState) -> Iterator[PackedBatch]:
        return loader(job, position, ranks.rank, ranks.world, samples, stages=ranks.local_rank == 0)

    # All is opened here, before a watchdog counts seconds; one rank of a machine makes and checks what all of them map.
    with ranks.one_first() as is_first:
        try:
            samples = TrainingSamples(job, check=is_first)
            digest = hashlib.sha256(samples.sampler().fingerprint.encode())
        except ValueError as error:
            raise UsageError("JOB", str(error)) from error
        held_out = open_held_out(job, check=is_first)
    for footers in samples.utterances.footers:
        digest.update(footers)
    valid = partial(make_validation, job, rank=ranks.rank, world=ranks.world, clean=held_out)
    clean = valid("clean")
    return Data(
        train=train,
        valid={
            "valid": clean,
            **({"valid_mixed": valid("mixed")} if job.mixtures else {}),
        },
        valid_at_end={
            **{f"valid/{name}": partial(clean, number) for number, name in enumerate(_name_corpora(job))},
            **{
                f"{LANGUAGE_PREFIX}{name}": partial(clean, languages=languages)
                for name, languages in _name_languages(held_out.groups).items()
            },
        },
        heard=samples.utterances.groups.names,
        fingerprint=digest.hexdigest(),
        copies_of_valid=samples.utterances.copies_of_valid,
    )


def _name_corpora(job: TrainJob) -> tuple[str, ...]:
    """The names of the corpora; none if there is one: `valid` is about it."""
    return name_corpora(job.data) if len(job.data) > 1 else ()


def _name_languages(groups: Groups) -> dict[str, frozenset[str]]:
    """The languages of held-out speech, by their names in metrics; none if there are not several."""
    counts = dict(zip(groups.languages, np.bincount(groups.language).tolist(), strict=True))
    by_name: dict[str, set[str]] = {}
    for language, name in name_measured(counts).items() if len(counts) > 1 else ():
        by_name.setdefault(name, set()).add(language)
    return {name: frozenset(languages) for name, languages in by_name.items()}
