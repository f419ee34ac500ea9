"""The data of a training job: batches for training and validation, of one rank."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wavlm.engine.ranks import Ranks
from wavlm.errors import UsageError
from wavlm.execution.job import TrainJob, name_corpora
from wavlm.loader.batch import PackedBatch
from wavlm.loader.groups import name_measured, read_languages
from wavlm.loader.loader import loader
from wavlm.loader.sampler import SamplerState
from wavlm.loader.samples import TrainingSamples
from wavlm.loader.validation import make_validation
from wavlm.train.loop import Data
from wavlm.train.validation import LANGUAGE_PREFIX

FOOTER_BYTES = 8192  # a Parquet file ends with its metadata: codebook, sha256 of the shard, column sizes


def data_of(job: TrainJob, ranks: Ranks) -> Data:
    """Streams of batches from the job's shards, labels and mixtures.

    Raises UsageError if the data do not fit the job.
    """

    def train(position: SamplerState) -> Iterator[PackedBatch]:
        return loader(job, position, ranks.rank, ranks.world)

    valid = partial(make_validation, job, rank=ranks.rank, world=ranks.world)
    try:
        samples = TrainingSamples(job)
        digest = hashlib.sha256(samples.sampler().fingerprint.encode())
    except ValueError as error:
        raise UsageError("JOB", str(error)) from error
    for labelled in job.data:
        digest.update(_digest_labels(labelled.labels))
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
                for name, languages in _name_languages(job).items()
            },
        },
        heard=samples.utterances.groups.names,
        fingerprint=digest.hexdigest(),
        copies_of_valid=samples.utterances.copies_of_valid,
    )


def _name_corpora(job: TrainJob) -> tuple[str, ...]:
    """The names of the corpora; none if there is one: `valid` is about it."""
    return name_corpora(job.data) if len(job.data) > 1 else ()


def _name_languages(job: TrainJob) -> dict[str, frozenset[str]]:
    """The languages of held-out speech, by their names in metrics; none if there are not several."""
    counts = Counter[str]()
    for item in job.data:
        found = read_languages(item.shards, "valid").value_counts()
        counts.update(dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)))
    by_name: dict[str, set[str]] = {}
    for language, name in name_measured(counts).items() if len(counts) > 1 else ():
        by_name.setdefault(name, set()).add(language)
    return {name: frozenset(languages) for name, languages in by_name.items()}


def _digest_labels(folder: Path) -> bytes:
    """sha256 of names, sizes and footers of all label files: other labels give another digest."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        size_bytes = path.stat().st_size
        digest.update(f"{path.name} {size_bytes}\n".encode())
        with path.open("rb") as file:
            file.seek(max(0, size_bytes - FOOTER_BYTES))
            digest.update(file.read())
    return digest.digest()
