"""Speech enhancement and separation: masks of a spectrogram, and what the masked speech is worth.

Frame n of a model begins at sample 320 n and is 400 samples long; frame n of the spectrogram is centred on sample
320 n. The mask of frame n is made of frame n of the model, as in SUPERB's reference, so the model is 12.5 ms ahead. The
one or two frames of the spectrogram behind the model's last one are masked from zeros. Of baselines with 100 frames a
second, every second frame is taken: it covers the same 400 samples.

Legend: B utterances, S states, F frames, D channels, R references, N samples, K frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, speaker_of
from wavlm.evaluation.heads.mask import (
    MaskNetwork,
    mask_loss,
    masked_waveform,
    num_spectrum_frames,
    spectrum,
    without_end_impulse,
)
from wavlm.evaluation.heads.padding import match_lengths
from wavlm.evaluation.heads.weighted_sum import WeightedSum
from wavlm.evaluation.labelled import LabelledCorpus, Row
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.listening import rate_clean, rate_sources, score_ratings
from wavlm.evaluation.tasks.mixtures import mix_noise, mix_voices
from wavlm.evaluation.tasks.referenced import Referenced, cut_referenced
from wavlm.evaluation.tasks.separating import SeparatingTrainee
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.shards import Reader
from wavlm.shards.flac import Waveform
from wavlm.specs.generation import SpeechEnhancement, SpeechSeparation
from wavlm.specs.heads import MaskHead
from wavlm.specs.separation import SeparatorHead

NUM_VOICES = 2
TARGET = "masks of a spectrogram"


@dataclass(frozen=True)
class Masking:
    """Enhancement or separation, on mixtures of a corpus or on mixtures that are made."""

    spec: SpeechEnhancement | SpeechSeparation
    head: MaskHead | SeparatorHead

    @property
    def is_pooled(self) -> bool:
        return False

    def collect(self, corpora: Sequence[LabelledCorpus], noise: Sequence[LabelledCorpus]) -> list[Example]:
        """The mixtures of the corpora, or the single recordings that `mix` makes them of."""
        dirs = tuple(item.shards_dir for item in (*corpora, *noise))
        if self.spec.mix is None:
            return [item for corpus in corpora for item in _published(corpus, self._field, dirs)]
        singles = [_single(row, corpus.name, dirs) for corpus in corpora for row in corpus.rows]
        if isinstance(self.spec, SpeechSeparation):
            _require_speakers(singles)
        return list(singles)

    def class_of(self, example: Example) -> str:
        """The speaker, so that a split of single recordings keeps the shares of each."""
        return example.speaker

    def for_training(self, example: Example) -> Example:
        return example

    def mix(self, split: Split, noise: Sequence[LabelledCorpus]) -> Split:
        """The split with its mixtures made, each set by itself."""
        if isinstance(self.spec, SpeechEnhancement) and self.spec.mix:
            noises = [_single(row, corpus.name, ()) for corpus in noise for row in corpus.rows]
            return mix_noise(split, noises, self.spec.mix)
        if isinstance(self.spec, SpeechSeparation) and self.spec.mix:
            return mix_voices(split, self.spec.mix)
        return split

    def begin(self, train: Sequence[Example], others: Sequence[Example]) -> Masker | SeparatingTrainee:  # noqa: ARG002
        first = train[0]
        assert isinstance(first, Referenced)  # noqa: S101 - made above
        readers = tuple(Reader(folder) for folder in first.shards_dirs)
        if isinstance(self.head, SeparatorHead):
            return SeparatingTrainee(self.head, readers)
        return Masker(self._field, self.head, readers)

    def recall(self, learned: JsonValue) -> Masker | SeparatingTrainee:  # noqa: ARG002 - nothing is learned
        """The trainee without recordings: it makes heads."""
        if isinstance(self.head, SeparatorHead):
            return SeparatingTrainee(self.head)
        return Masker(self._field, self.head, ())

    @property
    def _field(self) -> str:
        """The field of a target that names references."""
        return "clean" if isinstance(self.spec, SpeechEnhancement) else "sources"


@dataclass(frozen=True)
class Masker:
    """Enhancement or separation with the recordings at hand."""

    wanted: str  # `clean` or `sources`
    head: MaskHead
    readers: tuple[Reader, ...] = field(repr=False)

    @property
    def learned(self) -> JsonValue:
        return None

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """A part of a mixture has that part of its references."""
        assert isinstance(example, Referenced)  # noqa: S101 - made by the task
        return cut_referenced(example, start, stop)

    def check(self, size: Size) -> None:
        """Raise BadDataError (METRIC_MISFIT) for frames that do not fall on those of the spectrogram."""
        size.frames_per_hop(TARGET)

    def make_head(self, size: Size) -> nn.Module:
        step = size.frames_per_hop(TARGET)
        network = MaskNetwork(
            size.num_channels,
            1 if self.wanted == "clean" else NUM_VOICES,
            hidden=self.head.hidden,
            num_layers=self.head.layers,
            dropout=self.head.dropout,
        )
        return MasksOfStates(size.num_states, step, network)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The squared error to the phase-sensitive targets, in the best order of references."""
        device = batch.states.device
        mixture = self._padded(batch).to(device)  # (B, N)
        references = self._padded_references(batch).to(device)  # (B, R, N)
        wanted = _wanted_frames(batch)
        masks = head(batch.states, batch.num_frames, wanted)
        flat = spectrum(references.flatten(0, 1))
        of_references = flat.view(*references.shape[:2], *flat.shape[1:])
        return mask_loss(masks, spectrum(mixture), of_references, wanted)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The ratings of each utterance: waveforms are scored here, and not kept."""
        masks = head(batch.states, batch.num_frames, _wanted_frames(batch)).cpu()  # (B, R, F, K)
        return [self._rate(item, masks[row]) for row, item in enumerate(batch.examples)]

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """PESQ, STOI, SI-SDRi and SI-SDR of enhancement; SI-SDRi and SI-SDR of separation: means over utterances."""
        speakers = [speaker_of(item) for item in examples] if with_intervals else None
        return score_ratings([item for item in predictions if isinstance(item, dict)], speakers)

    def _rate(self, item: Example, masks: Tensor) -> dict[str, JsonValue]:
        mixture, references = self._load(item)
        frames = spectrum(torch.from_numpy(mixture)[None])[0]  # (F, K)
        found = np.stack(
            [without_end_impulse(masked_waveform(frames, mask[: len(frames)], len(mixture))).numpy() for mask in masks]
        )
        if self.wanted == "clean":
            return rate_clean(references[0], found[0], mixture)
        return rate_sources(references, found, mixture)

    def _load(self, item: Example) -> tuple[Waveform, Waveform]:
        """The mixture (N,) and its references (R, N)."""
        assert isinstance(item, Referenced)  # noqa: S101 - made above
        return item.audio.load(self.readers), np.stack([it.load(self.readers) for it in item.references])

    def _padded(self, batch: Batch) -> Tensor:
        return nn.utils.rnn.pad_sequence(
            [torch.from_numpy(item.audio.load(self.readers)) for item in batch.examples], batch_first=True
        )

    def _padded_references(self, batch: Batch) -> Tensor:
        found = [torch.from_numpy(self._load(item)[1]).T for item in batch.examples]  # (N, R) each
        return nn.utils.rnn.pad_sequence(found, batch_first=True).transpose(1, 2)


class MasksOfStates(nn.Module):
    """Masks from the weighted sum of the states, at the frames of the spectrogram."""

    def __init__(self, num_states: int, step: int, network: MaskNetwork) -> None:
        super().__init__()
        self.step = step  # every so many frames one is taken
        self.sum = WeightedSum(num_states)
        self.network = network

    def forward(self, states: Tensor, num_frames: Tensor, wanted: Tensor) -> Tensor:
        """States (B, S, F, D), of which num_frames (B,) are real, to masks (B, R, F', K) with wanted (B,) real ones."""
        frames = self.sum(states[:, :, :: self.step])
        lengths = (num_frames + self.step - 1) // self.step
        masks: Tensor = self.network(match_lengths(frames, lengths, wanted), wanted)
        return masks


def _wanted_frames(batch: Batch) -> Tensor:
    """Frames of each utterance's spectrogram, (B,)."""
    counts = torch.tensor([item.num_samples for item in batch.examples], device=batch.states.device)
    return num_spectrum_frames(counts)


def _single(row: Row, corpus: str, dirs: tuple[Path, ...]) -> Referenced:
    return Referenced(
        key=f"{corpus}/{row.key}",
        speaker=row.speaker,
        part=row.part,
        num_samples=row.num_samples,
        audio=row.take,
        target={},
        content=row.content,
        shards_dirs=dirs,
    )


def _published(corpus: LabelledCorpus, name: str, dirs: tuple[Path, ...]) -> list[Referenced]:
    """The mixtures of a corpus. Each of its recordings is a mixture, or one that a mixture names.

    Raises BadDataError: TARGET_MISSING for a recording that is neither, TARGET_BAD for references of another length.
    """
    rows = {row.key: row for row in corpus.rows}
    found = {key: _names(row, name) for key, row in rows.items() if name in row.target}
    named = {key for names in found.values() for key in names}
    if lonely := [key for key in rows if key not in found and key not in named]:
        raise BadDataError(
            "TARGET_MISSING",
            f"{len(lonely)} recordings have no {name} and are named by none, such as {lonely[0]}; in the corpus "
            f"{corpus.name}; give the corpus a layout that says it, or the task a mix",
        )
    return [
        _pair(rows[key], [_find(rows, other, key, corpus) for other in names], corpus.name, dirs, name)
        for key, names in found.items()
    ]


def _pair(row: Row, references: Sequence[Row], corpus: str, dirs: tuple[Path, ...], name: str) -> Referenced:
    if name == "sources" and len(references) != NUM_VOICES:
        raise BadDataError(
            "TARGET_BAD",
            f"{row.key} has {len(references)} sources, expected {NUM_VOICES}; in the corpus {corpus}; correct its "
            "targets",
        )
    for other in references:
        if other.num_samples != row.num_samples:
            raise BadDataError(
                "TARGET_BAD",
                f"{row.key} has {row.num_samples} samples, {other.key} has {other.num_samples}, expected as many; in "
                f"the corpus {corpus}; a mixture and what it is made of have one length",
            )
    return Referenced(
        key=f"{corpus}/{row.key}",
        speaker=row.speaker or references[0].speaker,
        part=row.part,
        num_samples=row.num_samples,
        audio=row.take,
        target={name: [other.key for other in references], **_voices(references)},
        content=row.content,
        references=tuple(other.take for other in references),
        shards_dirs=dirs,
    )


def _voices(references: Sequence[Row]) -> dict[str, JsonValue]:
    """The speakers of a mixture of several."""
    return {"speakers": [other.speaker for other in references]} if len(references) > 1 else {}


def _names(row: Row, name: str) -> list[str]:
    value = row.target[name]
    return [value] if isinstance(value, str) else [str(key) for key in value] if isinstance(value, list) else []


def _find(rows: Mapping[str, Row], key: str, of: str, corpus: LabelledCorpus) -> Row:
    if key not in rows:
        raise BadDataError(
            "TARGET_MISSING",
            f"the recording {key}, which {of} is made of, is not in the shards of {corpus.name}; at "
            f"{corpus.shards_dir}; evaluate with shards that leave nothing out",
        )
    return rows[key]


def _require_speakers(examples: Sequence[Example]) -> None:
    if unknown := [item.key for item in examples if not item.speaker]:
        raise BadDataError(
            "TARGET_MISSING",
            f"the speaker of {len(unknown)} recordings is not known, such as {unknown[0]}, so two of one voice could "
            "be mixed; in the evaluation's corpora; give them a layout that names speakers",
        )
