"""Shares of corpora and languages: whether there is speech of what has a weight, and what is repeated very often."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.pipeline.artifacts import Codebook, Model
from wavlm.pipeline.check.wanted import Finding, Remark, Wanted
from wavlm.pipeline.sampling import describe_times, read_hours
from wavlm.specs.sampling import refuse_strangers

OFTEN = 20.0  # times per epoch: from here on it is said


def check_sampling(wanted: Wanted) -> Iterator[Finding]:
    """What has a weight is there, as far as languages are known before the data are read."""
    for codebook in wanted.of(Codebook):
        if sampling := codebook.spec.sampling:
            found = read_hours(codebook.shards, wanted.store)
            if found and found.are_measured:
                refuse_strangers(sampling, found.hours, f"codebook.sampling of {codebook.name}")
    for model in wanted.of(Model):
        if sampling := model.train.sampling:
            found = read_hours(model.shards, wanted.store)
            if found and found.are_measured:
                refuse_strangers(sampling, found.hours, f"train.sampling of iteration {model.iteration}")
            yield from _describe(model, wanted)


def _describe(model: Model, wanted: Wanted) -> Iterator[Remark]:
    """How often speech is taken, and a warning if a part of it is taken so often that it may be learned by heart."""
    yield Remark(f"iteration {model.iteration}: {describe_times(model, wanted.store)}")
    found = read_hours(model.shards, wanted.store)
    if found is None or model.train.sampling is None:
        return
    times, group = max((times, group) for group, times in model.train.sampling.times(found.hours).items())
    if times > OFTEN:
        yield Remark(
            f"iteration {model.iteration} takes {group.corpus} {group.language} {times:.0f} times per epoch; at "
            "train.sampling; raise alpha or give more of this speech, or it may be learned by heart",
            is_warning=True,
        )
