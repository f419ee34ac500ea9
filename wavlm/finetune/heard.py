"""Test recordings that the model or a system beneath was trained on, for those who read the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wavlm.evaluation.examples import Example
from wavlm.evaluation.heard import count_heard, digests_of, find_heard
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.execution.finetune_job import FinetuneJob, HeardFolders


def say_heard(job: FinetuneJob, test: Sequence[Example]) -> Iterator[str]:
    """A sentence for each model or system beneath that was trained on test recordings: files with the same bytes."""
    corpora = [LabelledCorpus(it.name, it.corpus, it.shards, number) for number, it in enumerate(job.data)]
    for name in dict.fromkeys(item.by for item in job.heard):
        digests = {digest for item in job.heard if item.by == name for digest in _digests_of(item)}
        if known := count_heard(test, find_heard(corpora, digests)):
            yield (
                f"{name} was trained on {known} of the {len(test)} test recordings, so these figures are no figures on "
                "unheard speech."
            )


def _digests_of(item: HeardFolders) -> set[str]:
    if item.shards is None:
        return digests_of(item.corpus)
    rows = LabelledCorpus(item.by, item.corpus, item.shards, 0).rows
    return digests_of(item.corpus, {row.key for row in rows if row.part in item.parts})
