"""What mixing and effects did is counted, the same for any number of workers and ranks and after a stop."""

from __future__ import annotations

from functools import reduce
from itertools import islice

import pytest

from tests.staircases import job_of, write_corpus
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.batch import PackedBatch
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader
from wavlm.mixing.counts import MixingCounts
from wavlm.mixing.mix import Event
from wavlm.rng import rng_for, stream_seeds, uniforms
from wavlm.specs import EffectSpec, MixSpec

UPDATES = 10
MIX = MixSpec(
    name="counted",
    probability=0.5,
    effects=(EffectSpec(name="gain", probability=0.4), EffectSpec(name="clipping", probability=0.3)),
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainJob:
    folder = tmp_path_factory.mktemp("corpora")
    return job_of((write_corpus(folder, "first", 30),), folder, mix=MIX)


def take(job: TrainJob, position: SamplerState, updates: int, rank: int = 0, world: int = 1) -> list[PackedBatch]:
    count = updates * job.train.micro_batches_per_update // world
    return list(islice(loader(job, position, rank, world), count))


def total(batches: list[PackedBatch]) -> MixingCounts:
    return reduce(MixingCounts.plus, (batch.mixing for batch in batches))


def test_the_counts_are_those_of_the_random_numbers(job: TrainJob) -> None:
    batches = take(job, SamplerState(), UPDATES)
    drawn = [(batch.position.epoch, key) for batch in batches for key in batch.keys]
    mixed = sum(float(uniforms(stream_seeds(0, ("sample", epoch), [key]), 2)[0, 1]) < 0.5 for epoch, key in drawn)
    effects = [rng_for(0, "effects", epoch, key) for epoch, key in drawn]
    gains = sum(rng.random() < 0.4 for rng in effects)
    found = total(batches)
    assert found.utterances == len(drawn)
    assert found.gain == gains
    assert 0 < found.clipping < found.utterances
    # An utterance alone in its micro-batch has no other that could be mixed in.
    alone = sum(len(batch.keys) for batch in batches if len(batch.keys) == 1)
    assert mixed - alone <= found.with_speech <= mixed
    facts = found.facts(("gain", "clipping"))
    assert facts.effects == {"gain": found.gain, "clipping": found.clipping}
    assert facts.mean_speech_ratio_db == pytest.approx(0, abs=1.5)
    assert facts.mean_noise_ratio_db is None


def test_an_effect_that_a_mix_lists_twice_counts_once_per_utterance(job: TrainJob) -> None:
    twice = MIX.model_copy(
        update={"effects": (EffectSpec(name="gain", probability=1.0), EffectSpec(name="gain", probability=0.5))}
    )
    found = total(take(job.model_copy(update={"mix": twice}), SamplerState(), 2))
    assert found.gain == found.utterances > 0


@pytest.mark.slow
def test_workers_ranks_and_a_stop_change_no_count(job: TrainJob) -> None:
    whole = take(job, SamplerState(), UPDATES)
    assert total(whole).with_speech
    assert total(take(job.model_copy(update={"runtime": Runtime(workers=2)}), SamplerState(), UPDATES)) == total(whole)
    ranks = [batch for rank in (0, 1) for batch in take(job, SamplerState(), UPDATES, rank, 2)]
    assert total(ranks) == total(whole)
    stopped = whole[: 4 * job.train.micro_batches_per_update]
    rest = take(job, stopped[-1].after, UPDATES - 4)
    assert total([*stopped, *rest]) == total(whole)


def test_a_region_without_samples_and_a_silent_secondary_are_not_counted() -> None:
    heard = Event("a", "speech", "b", 0, 100, 0, 2.0, 0.5)
    empty = Event("c", "speech", "b", 0, 0, 0, 4.0, 0.5)
    silent = Event("d", "noise", "n", 0, 100, 0, 8.0, 0.0)
    counts = MixingCounts.of(4, [heard, empty, silent], ["gain", "gain"])
    assert (counts.utterances, counts.with_speech, counts.with_noise, counts.gain) == (4, 1, 0, 2)
    assert MixingCounts.from_numbers(counts.plus(counts).numbers) == counts.plus(counts)
    assert counts.facts(()).mean_speech_ratio_db == 2.0
