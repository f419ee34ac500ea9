"""Batches with shares of corpora and languages: who is heard how often, and that nothing else depends on it."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.staircases import digest, job_of, levels, write_corpus
from tests.tiny_specs import tiny_training
from wavlm.errors import UsageError
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.batch import PackedBatch
from wavlm.loader.draws import DrawPlan
from wavlm.loader.epochs import SamplerState
from wavlm.loader.groups import MOST_LANGUAGES, name_measured
from wavlm.loader.loader import loader, make_sampler
from wavlm.loader.sampler import BucketedSampler
from wavlm.loader.samples import TrainingSamples
from wavlm.mixing.mix import mix
from wavlm.shards import read_index
from wavlm.specs import BalanceSpec, MixSpec, SamplingSpec

CPU = torch.device("cpu")
SAMPLING = SamplingSpec(languages=BalanceSpec(weights={"sw": 6.0}))
MIX = MixSpec(name="a", probability=0.9)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledShards, ...]:
    folder = tmp_path_factory.mktemp("corpora")
    first = write_corpus(folder, "first", 40, languages=("en", "en", "cs", "sw"))
    return (first, write_corpus(folder, "second", 12, languages=("en",)))


def job_with(
    data: tuple[LabelledShards, ...], out: Path, sampling: SamplingSpec | None, mix: MixSpec | None = None
) -> TrainJob:
    named = tuple(item.model_copy(update={"corpus": name}) for item, name in zip(data, "ab", strict=True))
    return job_of(named, out, train=tiny_training(max_crop_seconds=2.5, sampling=sampling), mix=mix)


def languages_of(job: TrainJob) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in job.data:
        index = read_index(item.shards)
        found |= dict(zip(index.keys, index.languages, strict=True))
    return found


def take_epoch(job: TrainJob, number: int) -> list[PackedBatch]:
    count = make_sampler(job).epoch(number).num_micro_batches
    return list(islice(loader(job, SamplerState(number)), count))


def digests(batches: list[PackedBatch]) -> list[str]:
    return [digest(batch.to(CPU)) for batch in batches]


def test_equal_weights_give_the_same_bits_as_no_sampling(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    equal = SamplingSpec(languages=BalanceSpec(weights={"sw": 1.0}), corpora=BalanceSpec(weights={"a": 3.0, "b": 3.0}))
    for mixing in (None, MIX):
        plain, same = (take_epoch(job_with(data, tmp_path, it, mixing), 1) for it in (None, equal))
        assert digests(plain) == digests(same)


def test_languages_are_heard_as_often_as_the_recipe_says(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    job, epochs = job_with(data, tmp_path, SAMPLING), 4
    samples = TrainingSamples(job).utterances
    seconds = dict(zip(samples.keys, np.minimum(samples.num_samples, 2.5 * 16000) // 320 * 0.02, strict=True))
    language, heard = (
        languages_of(job),
        Counter(key for e in range(epochs) for b in take_epoch(job, e) for key in b.keys),
    )
    there = Counter[str]()
    for key, length in seconds.items():
        there[language[key]] += length
    unit = sum(there.values()) / (there["en"] + there["cs"] + 6 * there["sw"])  # draws per epoch of those of weight 1
    for key in seconds:
        times = epochs * unit * (6 if language[key] == "sw" else 1)
        assert heard[key] in (int(times), int(times) + 1), (key, times)


def test_every_draw_of_an_utterance_has_a_crop_a_mask_and_a_mix_of_its_own(
    data: tuple[LabelledShards, ...], tmp_path: Path
) -> None:
    seen: dict[str, list[tuple[bytes, ...]]] = {}
    job = job_with(data, tmp_path, SAMPLING, MIX)
    short = job.model_copy(update={"train": job.train.model_copy(update={"max_crop_seconds": 0.8})})
    for packed in take_epoch(short, 0):
        batch = packed.to(CPU)
        for row, key in enumerate(batch.keys):
            parts = (batch.labels[row], batch.mask[row], batch.waveforms[row])
            seen.setdefault(key, []).append(tuple(part.numpy().tobytes() for part in parts))
    often = [rows for rows in seen.values() if len(rows) >= 3]
    assert len(often) >= 8
    # A mask of 39 frames has few forms, and a crop few places: now and then two draws are alike in one of them.
    for part in range(3):
        different = sum(len({row[part] for row in rows}) for rows in often)
        assert different > 0.9 * sum(map(len, often)), ("labels", "masks", "audio")[part]


def test_labels_fit_the_crops_of_all_draws(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    for packed in take_epoch(job_with(data, tmp_path, SAMPLING), 0):
        batch = packed.to(CPU)
        assert torch.equal(levels(batch), batch.labels)


def test_no_utterance_is_mixed_with_itself(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    """Where `sw` alone is left, few utterances come ten times: micro-batches hold some of them twice."""
    only = SamplingSpec(languages=BalanceSpec(weights={"en": 0.0, "cs": 0.0}))
    samples, twice, otherwise = TrainingSamples(job_with(data, tmp_path, only, MIX)), 0, 0
    epoch = samples.sampler().epoch(0)
    for micro_batch in map(epoch.micro_batch, range(epoch.num_micro_batches)):
        (drawn,) = samples.draw([micro_batch])
        made = samples.make(drawn)
        twice += len(set(drawn.keys)) < len(drawn.keys)
        mixed = mix(made.pcm, drawn.keys, drawn.mixing, MIX, None, micro_batch.utterances)
        assert all(event.key != event.source for event, _ in mixed)
        assert [change.row for change in made.changes] == [change.row for _, change in mixed]
        for change, (_, expected) in zip(made.changes, mixed, strict=True):
            np.testing.assert_array_equal(change.waveform, expected.waveform)
        blind = mix(made.pcm, drawn.keys, drawn.mixing, MIX, None)
        otherwise += sum(event.key == event.source for event, _ in blind)
    assert twice > 5, "no micro-batch of this test has an utterance twice"
    assert otherwise > 5, "nothing would be mixed with itself anyway"


def test_ranks_workers_and_a_restart_anywhere_change_nothing(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    job = job_with(data, tmp_path, SAMPLING, MIX)
    unbroken = list(islice(loader(job, SamplerState()), 4 * 12))
    for update in range(1, 11):
        again = next(loader(job, unbroken[4 * update - 1].after))
        assert digest(again.to(CPU)) == digest(unbroken[4 * update].to(CPU)), update
        assert again.heard == unbroken[4 * update].heard
    ranks = [list(islice(loader(job, SamplerState(), rank, 2), 2 * 12)) for rank in (0, 1)]
    assert digests([batch for pair in zip(*ranks, strict=True) for batch in pair]) == digests(unbroken)
    assert [batch.heard for batch in ranks[1]] == [batch.heard for batch in unbroken[1::2]]
    workers = job.model_copy(update={"runtime": Runtime(workers=2)})
    assert digests(list(islice(loader(workers, SamplerState()), 12))) == digests(unbroken[:12])


def test_what_is_heard_is_counted_for_each_corpus_and_language(
    data: tuple[LabelledShards, ...], tmp_path: Path
) -> None:
    job = job_with(data, tmp_path, SAMPLING)
    language, names = languages_of(job), TrainingSamples(job).utterances.groups.names
    assert names == ("corpus/a", "corpus/b", "language/cs", "language/en", "language/sw")
    batches = list(islice(loader(job, SamplerState()), 4 * 10))
    for first in range(0, len(batches), 4):
        expected = Counter[str]()
        for batch in batches[first : first + 4]:
            for key in batch.keys:
                expected[f"corpus/{'a' if key.startswith('first') else 'b'}"] += batch.labels.shape[1]
                expected[f"language/{language[key]}"] += batch.labels.shape[1]
        assert {batch.heard for batch in batches[first : first + 4]} == {tuple(expected[name] for name in names)}


def test_one_corpus_of_one_language_is_not_counted(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    alone = job_of(data[1:], tmp_path)
    assert next(loader(alone, SamplerState())).heard == ()


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (SamplingSpec(languages=BalanceSpec(weights={"cz": 2.0})), "language cz"),
        (SamplingSpec(corpora=BalanceSpec(weights={"c": 2.0})), "corpus c"),
        (SamplingSpec(corpora=BalanceSpec(weights={"a": 0.0, "b": 0.0})), "all speech has the weight 0"),
    ],
)
def test_what_no_speech_has_is_refused_before_the_first_batch(
    data: tuple[LabelledShards, ...], tmp_path: Path, sampling: SamplingSpec, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        loader(job_with(data, tmp_path, sampling), SamplerState())
    assert caught.value.code == "SAMPLING"


def test_a_stream_with_other_shares_has_another_fingerprint(data: tuple[LabelledShards, ...], tmp_path: Path) -> None:
    other = SamplingSpec(languages=BalanceSpec(weights={"sw": 5.0}))
    prints = {make_sampler(job_with(data, tmp_path, it)).fingerprint for it in (None, SAMPLING, other)}
    assert len(prints) == 3


def test_draws_of_an_utterance_seldom_share_a_micro_batch() -> None:
    """200 utterances of one length, of which 10 come ten times an epoch: 285 draws in micro-batches of 5."""
    frames, groups = np.full(200, 781), np.repeat([0, 1], [190, 10])
    plan = DrawPlan(groups, (1.0, 10.0), 0)
    train = tiny_training(batch_seconds=350.0, group_seconds=87.5)
    shared = 0
    for number in range(20):
        epoch = BucketedSampler(frames, train, "", plan).epoch(number)
        assert sorted(Counter(epoch.utterances.tolist()).values()) == [1] * 190 + [10] * 10
        for micro_batch in map(epoch.micro_batch, range(epoch.num_micro_batches)):
            assert micro_batch.repeats is not None
            shared += len(set(micro_batch.utterances.tolist())) < len(micro_batch.utterances)
    assert shared < 40  # of 1,160; anywhere in their bucket they share 102


def test_languages_have_names_that_metrics_may_have() -> None:
    counts = {"en": 9, "中文": 8, "zh/TW": 7, "zh TW": 6, **{f"x{n}": 1 for n in range(300)}}
    names = name_measured(counts)
    assert names["en"] == "en"
    assert len({names["中文"], names["zh/TW"], names["zh TW"]}) == 3
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") for name in
               names.values())  # fmt: skip
    assert len(set(names.values())) == MOST_LANGUAGES + 1
    assert names["x299"] == "others"
