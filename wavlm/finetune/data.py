"""The data of a fine-tuning: its split, its task with classes, and the micro-batches of a rank.

Legend: B utterances, N samples, F frames, D channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.splits import Split, split_examples
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import ChecksParts, ChecksTested, Cuts, Mixes, Moment, Size, Task, Trainee, Untrained
from wavlm.execution.finetune_job import FinetuneJob
from wavlm.execution.ordered_map import open_ordered_map
from wavlm.features.fbank import fbank
from wavlm.features.mfcc import Floats, mfcc
from wavlm.finetune.augment import Augmenter
from wavlm.finetune.order import EpochPlace, groups_from
from wavlm.finetune.system import Heard
from wavlm.rng import rng_for, seed_for
from wavlm.shards import Reader
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ
from wavlm.specs.evaluation import BaselineSpec
from wavlm.specs.heads import HeadSpec
from wavlm.specs.tasks import TaskSpec

Frames = Callable[[Floats], Floats]  # of a baseline: (N,) to (F, D)


@dataclass(frozen=True)
class TaskInStage:
    """The task with the head as a stage has it."""

    task: TaskSpec
    head: HeadSpec


@dataclass(frozen=True)
class Arrived:
    """A micro-batch, and the place in the order of training after it and those that other ranks have beside it."""

    after: EpochPlace
    heard: Heard


class TrainingData:
    """The examples of a fine-tuning, split, and what loads them.

    Raises BadDataError for targets, splits or recordings that cannot be used, before anything is trained.
    """

    def __init__(self, job: FinetuneJob) -> None:
        self.spec, self._job = job.spec, job
        folders = (*job.data, *job.noise)
        every = [LabelledCorpus(it.name, it.corpus, it.shards, number) for number, it in enumerate(folders)]
        self._corpora, self._noise = every[: len(job.data)], every[len(job.data) :]
        # Batches are loaded in a thread, and a reader belongs to one thread.
        self._readers, self._training_readers = ([Reader(it.shards) for it in folders] for _ in range(2))
        self.task = make_task(self.spec)
        self.split = self._find_split(self.task)
        self.frames = None if job.start else frames_of(self.spec.baseline)

    @cached_property
    def augmenter(self) -> Augmenter:
        mix = self.spec.mix
        noise = [it.shards for it in self._job.noise] if mix and mix.noise_probability > 0 else []
        return Augmenter(mix, noise, self._job.rooms)

    @property
    def fingerprint(self) -> str:
        """A digest of the order and content of what is trained on and chosen by."""
        digest = hashlib.sha256()
        for item in (*self.split.train, *self.split.dev):
            digest.update(f"{item.key}\x1f{item.num_samples}\x1f{item.audio!r}\x1f{item.target!r}\x1e".encode())
        return digest.hexdigest()

    def trainee(self, stage: int) -> Trainee:
        """The task with its classes, and with the head as it is in a stage."""
        task = make_task(TaskInStage(self.spec.task, self.spec.head_in(stage)))
        found = task.begin(self.split.train, (*self.split.dev, *self.split.test))
        assert not isinstance(found, Untrained)  # noqa: S101 - the spec has a head
        return found

    def check(self, trainee: Trainee, size: Size) -> None:
        """Raise BadDataError for parts that cannot be learned or scored, UsageError for crops of what cannot be cut."""
        if isinstance(trainee, ChecksParts):
            trainee.check_parts(self.split.dev, self.split.test)
        if isinstance(trainee, ChecksTested):
            trainee.check_tested(self.split.test)
        trainee.check(size)
        crops = [stage.crop_seconds for stage in self.spec.stages if stage.crop_seconds is not None]
        longest = max(self.split.train, key=lambda item: item.num_samples)
        if crops and not isinstance(trainee, Cuts) and longest.seconds > min(crops):
            raise UsageError(
                "CROP_IMPOSSIBLE",
                f"{longest.key} has {longest.seconds:.1f} s, the crops {min(crops):g} s, and targets of the task "
                f"{self.spec.task.type} cannot be cut; in the stages of {self.spec.name}; leave crop_seconds out",
            )

    def micro_batches(
        self, stage: int, trainee: Trainee, place: EpochPlace, of_rank: tuple[int, int], threads: int = 0
    ) -> Generator[Arrived]:
        """The micro-batches of a rank (its number, of how many) from a place on, without end, on the CPU."""
        spec = self.spec.stages[stage]
        most = None if spec.crop_seconds is None else round(spec.crop_seconds * SAMPLE_RATE_HZ)
        lengths = [item.num_samples if most is None else min(most, item.num_samples) for item in self.split.train]
        groups = groups_from(lengths, round(spec.group_seconds * SAMPLE_RATE_HZ), self.spec.seed, stage, place)

        def load(found: tuple[EpochPlace, list[int], EpochPlace]) -> Arrived:
            where, numbers, after = found
            seed = seed_for(self.spec.seed, "micro-batch", stage, where.epoch, where.group)
            chosen = [self._cut(self.split.train[number], trainee, most, seed) for number in numbers]
            return Arrived(after, self._load(chosen, seed, is_augmented=True))

        with open_ordered_map(threads) as ordered:
            yield from ordered(load, _share(groups, *of_rank))

    def load_plain(self, examples: Sequence[Example]) -> Heard:
        """Examples as they are: nothing is mixed in."""
        return self._load(examples, 0, is_augmented=False)

    def _find_split(self, task: Task) -> Split:
        spec = self.spec
        examples = task.collect(self._corpora, self._noise)
        (found,) = split_examples(examples, spec.split, spec.max_utterances, task.class_of)
        kept = tuple(one for one in map(task.for_training, found.train) if one is not None)
        if not kept:
            raise BadDataError(
                "SPLIT_EMPTY",
                f"all {len(found.train)} examples of the train part are too short to be trained on; in {spec.name}; "
                "lower the shortest length in its task",
            )
        split = replace(found, train=kept, num_short=len(found.train) - len(kept))
        return task.mix(split, self._noise) if isinstance(task, Mixes) else split

    @staticmethod
    def _cut(example: Example, trainee: Trainee, most: int | None, seed: int) -> Example:
        """A random part of a long example, which begins with a frame of 20 ms."""
        if most is None or example.num_samples <= most or not isinstance(trainee, Cuts):
            return example
        number = float(rng_for(seed, "crop", example.key).random())
        start = int(number * ((example.num_samples - most) // HOP_SAMPLES + 1)) * HOP_SAMPLES
        return trainee.cut(example, start, start + most)

    def _load(self, examples: Sequence[Example], seed: int, *, is_augmented: bool) -> Heard:
        readers = self._training_readers if is_augmented else self._readers
        waveforms = [item.audio.load(readers) for item in examples]
        if is_augmented:
            waveforms = self.augmenter(waveforms, [item.key for item in examples], seed)
        return hear(waveforms, examples, self.frames, Moment(0, 0, seed) if is_augmented else None)


def hear(
    waveforms: Sequence[Floats], examples: Sequence[Example], frames: Frames | None, moment: Moment | None = None
) -> Heard:
    """Waveforms (N,) as a micro-batch, with the frames of a baseline if there is one."""
    padded = _pad([torch.from_numpy(np.ascontiguousarray(item, np.float32)) for item in waveforms])
    lengths = torch.tensor([len(item) for item in waveforms])
    if frames is None:
        return Heard(tuple(examples), padded, lengths, moment=moment)
    rows = [torch.from_numpy(np.ascontiguousarray(frames(item))) for item in waveforms]
    counts = torch.tensor([len(item) for item in rows])
    return Heard(tuple(examples), padded, lengths, _pad(rows)[:, None], counts, moment)


def frames_of(baseline: BaselineSpec | None) -> Frames | None:
    """What computes the frames of a baseline without a network; None for networks."""
    kind = baseline.type if baseline else ""
    return {"fbank": fbank, "mfcc": mfcc}.get(kind)


def _pad(rows: list[Tensor]) -> Tensor:
    found: Tensor = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return found


def _share(
    groups: Iterator[tuple[EpochPlace, list[int]]], rank: int, world: int
) -> Iterator[tuple[EpochPlace, list[int], EpochPlace]]:
    """Of each `world` micro-batches the one of this rank, with its place and the place after all of them."""
    while True:
        together = list(islice(groups, world))
        last = together[-1][0]
        yield *together[rank], EpochPlace(epoch=last.epoch, group=last.group + 1)
