"""Separation by a head that masks spectra of 16 ms and hears the noise as well: continuous separation.

What a mixture has beside its voices is noise. In fine-tuning a mixture may be a part of one, with the same part of its
references.

Legend: B utterances, S states, F frames, D channels, A frames of the spectrum, K frequencies, V voices, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from wavlm.evaluation.examples import Example, speaker_of
from wavlm.evaluation.heads.css.separator import (
    NUM_VOICES,
    Separator,
    count_frames,
    separation_loss,
    spectrum,
    waveform,
)
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.listening import rate_sources, score_ratings
from wavlm.evaluation.tasks.referenced import Referenced, cut_referenced
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.shards import Reader
from wavlm.shards.flac import Waveform
from wavlm.specs.separation import SeparatorHead


@dataclass(frozen=True)
class SeparatingTrainee:
    """Separation with the recordings at hand; without readers it only makes heads."""

    head: SeparatorHead
    readers: tuple[Reader, ...] = field(default=(), repr=False)

    @property
    def learned(self) -> JsonValue:
        return None

    def check(self, size: Size) -> None:
        """Any size will do: states are interpolated."""

    def cut(self, example: Example, start: int, stop: int) -> Example:
        """A part of a mixture has that part of its references."""
        assert isinstance(example, Referenced)  # noqa: S101 - made by the task
        return cut_referenced(example, start, stop)

    def make_head(self, size: Size) -> nn.Module:
        return Separator(size, self.head)

    def loss(self, head: nn.Module, batch: Batch) -> Tensor:
        """The squared error to the phase-sensitive targets of voices, in their best order, and of noise."""
        device = batch.states.device
        pairs = [self._load(item) for item in batch.examples]
        mixtures = _pad([torch.from_numpy(mixture) for mixture, _ in pairs]).to(device)  # (B, N)
        voices = _pad([torch.from_numpy(it).T for _, it in pairs]).transpose(1, 2).to(device)  # (B, V, N)
        spectra = spectrum(mixtures)
        flat = spectrum(voices.flatten(0, 1))
        of_voices = flat.view(*voices.shape[:2], *flat.shape[1:])
        wanted = _count_frames(batch)
        masks = head(spectra, batch.states, batch.num_frames, wanted)
        return separation_loss(masks, spectra, of_voices, spectra - of_voices.sum(1), wanted)

    def predict(self, head: nn.Module, batch: Batch) -> list[JsonValue]:
        """The ratings of each utterance: waveforms are scored here, and not kept."""
        mixtures = _pad([torch.from_numpy(self._load(item)[0]) for item in batch.examples]).to(batch.states.device)
        spectra = spectrum(mixtures)
        masks = head(spectra, batch.states, batch.num_frames, _count_frames(batch))
        found = waveform((masks[:, :NUM_VOICES] * spectra[:, None]).flatten(0, 1), mixtures.shape[1])
        voices = found.view(len(spectra), NUM_VOICES, -1).cpu().numpy()
        ratings: list[JsonValue] = []
        for item, both in zip(batch.examples, voices, strict=True):
            mixture, references = self._load(item)
            ratings.append(rate_sources(references, both[:, : len(mixture)], mixture))
        return ratings

    def score(
        self, examples: Sequence[Example], predictions: Sequence[JsonValue], *, with_intervals: bool = True
    ) -> tuple[Figure, ...]:
        """SI-SDRi and SI-SDR: means over utterances."""
        speakers = [speaker_of(item) for item in examples] if with_intervals else None
        return score_ratings([item for item in predictions if isinstance(item, dict)], speakers)

    def _load(self, item: Example) -> tuple[Waveform, Waveform]:
        """The mixture (N,) and its voices (V, N)."""
        assert isinstance(item, Referenced)  # noqa: S101 - made by the task
        return item.audio.load(self.readers), np.stack([it.load(self.readers) for it in item.references])


def _pad(rows: list[Tensor]) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _count_frames(batch: Batch) -> Tensor:
    """Frames of each utterance's spectrum, (B,)."""
    counts = torch.tensor([item.num_samples for item in batch.examples], device=batch.states.device)
    return count_frames(counts)
