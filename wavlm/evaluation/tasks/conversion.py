"""Voice conversion from any speaker to one: mel spectra of the target speaker from frames of anybody's speech.

The head learns to write the target speaker's own recordings. Then it is given others' recordings, and what it writes is
compared with the same words of the target speaker. Of baselines with 100 frames a second every second frame is taken.

Legend: B utterances, S states, F frames at 50 Hz, D channels, T frames of mel spectra, M bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.examples import Example
from wavlm.evaluation.heads.conversion import Converter, MelStatistics, mel_lengths
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.metrics.intervals import interval_of_sums
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of
from wavlm.evaluation.tasks.mel import distortion_db, log_mel
from wavlm.evaluation.tasks.referenced import Referenced
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.rng import seed_for
from wavlm.shards import Reader
from wavlm.specs.generation import VoiceConversion
from wavlm.specs.heads import ConverterHead

HELD_SHARE = 0.2  # of the words of a corpus without parts: those of the test part, and those of the dev part
TARGET = "spectra of speech"
FLATTEST = 1e-3  # smallest deviation of a band that is divided by
NOTE = "of mel spectra, without a vocoder: not comparable with the MCD of waveforms"


@dataclass(frozen=True)
class Conversion:
    """The voice of one speaker."""

    spec: VoiceConversion
    head: ConverterHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus] = ()) -> list[Example]:
        """The speaker's own recordings of the train and dev parts, and others' of the test part.

        Raises BadDataError (TARGET_MISSING) if the speaker, or the speaker's recording of a sentence, is not there.
        """
        dirs = tuple(item.shards_dir for item in (*corpora, *noise))
        return [item for corpus in corpora for item in self._examples_of(corpus, dirs)]

    def class_of(self, example: Example) -> str:  # noqa: ARG002
        return ""

    def for_training(self, example: Example) -> Example:
        return example

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Imitator:  # noqa: ARG002
        first = train[0]
        assert isinstance(first, Referenced)  # noqa: S101 - made above
        readers = tuple(Reader(folder) for folder in first.shards_dirs)
        spectra = np.concatenate([log_mel(item.audio.load(readers)) for item in train])
        deviation = np.maximum(spectra.std(axis=0), FLATTEST)
        statistics = MelStatistics(*(torch.from_numpy(it).float() for it in (spectra.mean(axis=0), deviation)))
        return Imitator(statistics, self.head, readers)

    def _examples_of(self, corpus: LabelledCorpus, dirs: tuple[Path, ...]) -> Iterator[Referenced]:
        said = {row.key: _sentence_of(row, corpus.name) for row in corpus.rows}
        own = {said[row.key]: row for row in corpus.rows if row.speaker == self.spec.speaker}
        if not own:
            speakers = ", ".join(sorted({row.speaker for row in corpus.rows}))
            raise BadDataError(
                "TARGET_MISSING",
                f"no recording is of the speaker {self.spec.speaker}, found {speakers}; in the corpus {corpus.name}; "
                "name one of these in the task",
            )
        parts = self._deal(sorted(set(said.values()))) if not any(row.part for row in corpus.rows) else {}
        for row in corpus.rows:
            part = parts.get(said[row.key], row.part)
            is_own = row.speaker == self.spec.speaker
            if is_own and part in ("train", "dev"):
                yield _example(row, row, part, corpus.name, dirs)
            elif not is_own and part == "test":
                yield _example(row, _find(own, said[row.key], row, corpus.name), part, corpus.name, dirs)

    def _deal(self, sentences: Sequence[str]) -> Mapping[str, str]:
        """The part of each sentence, in the order of their hashes: test first, then dev."""
        ordered = sorted(sentences, key=lambda name: (seed_for(self.spec.seed, "sentence", name), name))
        count = max(1, round(HELD_SHARE * len(ordered)))
        names = ["test"] * count + ["dev"] * count + ["train"] * len(ordered)
        return dict(zip(ordered, names, strict=False))


@dataclass(frozen=True)
class Imitator:
    """Conversion to a voice whose spectra are known."""

    statistics: MelStatistics
    head: ConverterHead
    readers: tuple[Reader, ...] = field(repr=False)

    def check(self, size: Size) -> None:
        """Raise BadDataError (METRIC_MISFIT) for frames of another rate."""
        size.frames_per_hop(TARGET)

    def make_head(self, size: Size) -> nn.Module:
        converter = Converter(size.num_channels, self.statistics, hidden=self.head.hidden)
        return SpectraOfStates(size.num_states, size.frames_per_hop(TARGET), converter)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The distance to the speaker's spectra, each written after the true one before it."""
        assert isinstance(head, SpectraOfStates)  # noqa: S101 - made above
        frames, lengths = head.frames_of(batch)
        wanted = [torch.from_numpy(self._reference(item)).float() for item in batch.examples]
        target_lengths = torch.tensor([len(item) for item in wanted], device=frames.device)
        targets = nn.utils.rnn.pad_sequence(wanted, batch_first=True).to(frames.device)  # (B, T', M)
        missing = int(mel_lengths(lengths).max()) - targets.shape[1]
        targets = nn.functional.pad(targets, (0, 0, 0, max(0, missing)))
        generators = [_generator(seed) for seed in torch.randint(2**62, (len(wanted),)).tolist()]
        spectra = head.network(frames, lengths, generators, targets)
        return head.network.loss(spectra, lengths, targets, target_lengths)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The distortion of each utterance, and that of its own spectra: what no conversion at all would have."""
        assert isinstance(head, SpectraOfStates)  # noqa: S101 - made above
        frames, lengths = head.frames_of(batch)
        generators = [_generator(seed_for(0, "converted", item.key) % 2**62) for item in batch.examples]
        spectra = head.network(frames, lengths, generators).double().cpu().numpy()
        found: list[JsonValue] = []
        for item, made, count in zip(batch.examples, spectra, mel_lengths(lengths).tolist(), strict=True):
            reference = self._reference(item)
            as_it_was = _distortion(reference, log_mel(item.audio.load(self.readers)))
            found.append({"mel_mcd": _distortion(reference, made[:count]), "unconverted": as_it_was})
        return found

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """The mean distortion over utterances, in dB, and that of the recordings as they were."""
        rows = [item for item in predictions if isinstance(item, dict)]
        speakers = [item.speaker for item in examples] if with_intervals else None
        return _mean("mel_mcd", rows, speakers), _mean("mel_mcd_unconverted", rows, speakers)

    def _reference(self, item: Example) -> np.ndarray:
        assert isinstance(item, Referenced)  # noqa: S101 - made above
        return log_mel(item.references[0].load(self.readers))


class SpectraOfStates(nn.Module):
    """A Converter behind the weighted sum of the states."""

    def __init__(self, num_states: int, step: int, network: Converter) -> None:
        super().__init__()
        self.step = step  # every so many frames one is taken
        self.sum = WeightedSum(num_states)
        self.network = network

    def frames_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The frames (B, F, D) of a batch, and how many are real (B,)."""
        return self.sum(batch.states[:, :, :: self.step]), (batch.num_frames + self.step - 1) // self.step


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _distortion(reference: np.ndarray, found: np.ndarray) -> float | None:
    """None where one of the two has no sound."""
    try:
        return distortion_db(reference, found)
    except BadDataError as error:
        if error.code != Code.METRIC_UNDEFINED:
            raise
        return None


def _mean(name: str, rows: Sequence[Mapping[str, JsonValue]], speakers: Sequence[str] | None) -> Figure:
    """The mean of one distortion; NaN, which an evaluation refuses, if one utterance has none."""
    values = [row["unconverted" if name.endswith("unconverted") else "mel_mcd"] for row in rows]
    found = [value for value in values if isinstance(value, float)]
    if len(found) < len(values):
        return Figure(name=name, value=float("nan"), is_lower_better=True, note="an utterance has no sound")
    interval = None
    if speakers is not None and len(found) > 1:
        numbers = np.array([[value, 1.0] for value in found])
        interval = interval_of_sums(numbers, speakers, lambda sums: sums[:, 0] / sums[:, 1])
    return figure_of(name, float(np.mean(found)), interval, is_lower_better=True, note=NOTE)


def _sentence_of(row: Row, corpus: str) -> str:
    """What is said: the same name is the same words."""
    for value in (row.target.get("sentence"), row.target.get("class"), row.text):
        if isinstance(value, str) and value.strip():
            return value.strip()
    raise BadDataError(
        "TARGET_MISSING",
        f"what {row.key} says is not known; in the corpus {corpus}; give it transcripts, or a class per recording",
    )


def _find(own: Mapping[str, Row], sentence: str, row: Row, corpus: str) -> Row:
    if sentence not in own:
        raise BadDataError(
            "TARGET_MISSING",
            f"the speaker has no recording of {sentence!r}, which {row.key} says; in the corpus {corpus}; another "
            "speaker may have all of them",
        )
    return own[sentence]


def _example(row: Row, reference: Row, part: str, corpus: str, dirs: tuple[Path, ...]) -> Referenced:
    return Referenced(
        key=f"{corpus}/{row.key}",
        speaker=row.speaker,
        part=part,
        num_samples=row.num_samples,
        audio=row.take,
        target={"reference": reference.key},
        content=row.content,
        references=(reference.take,),
        shards_dirs=dirs,
    )
