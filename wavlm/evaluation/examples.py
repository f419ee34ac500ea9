"""Examples: what a task predicts, from which audio.

Shapes: N samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

from wavlm.shards import Reader
from wavlm.specs import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from wavlm.shards.flac import Waveform


class Audio(Protocol):
    """Where the waveform of an example comes from. It can be pickled; its repr says all that decides its samples."""

    def load(self, readers: Sequence[Reader]) -> Waveform:
        """The samples (N,), given the reader of each shards folder of the evaluation."""
        ...


@dataclass(frozen=True, slots=True)
class Take:
    """An utterance of a shards folder, or a part of it."""

    folder: int  # its number among the folders of the evaluation
    row: int  # in the index of the folder
    start: int = 0  # samples
    stop: int | None = None

    def load(self, readers: Sequence[Reader]) -> Waveform:
        return readers[self.folder].read(self.row, self.start, self.stop)


@dataclass(frozen=True)
class CutAudio:
    """A part of an audio that is made, not read."""

    whole: Audio
    start: int  # samples
    stop: int

    def load(self, readers: Sequence[Reader]) -> Waveform:
        return self.whole.load(readers)[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to predict."""

    key: str  # unique in an evaluation
    speaker: str  # empty: not known
    part: str  # as the publisher names it; empty: not named
    num_samples: int
    audio: Audio
    target: JsonValue  # what the task predicts, in the task's own form
    content: str = ""  # copies of one recording have the same; empty: the key is all that is known
    compared_with: tuple[Example, ...] = field(default=(), repr=False)  # their features are needed for it, too

    @property
    def seconds(self) -> float:
        return self.num_samples / SAMPLE_RATE_HZ


def cut(audio: Audio, start: int, stop: int) -> Audio:
    """The samples of an audio from `start` to before `stop`."""
    if isinstance(audio, Take):
        return replace(audio, start=audio.start + start, stop=audio.start + stop)
    return CutAudio(audio, start, stop)


def cut_audio(example: Example, start: int, stop: int) -> Example:
    """The example with the samples from `start` to before `stop`, and its target as it is."""
    return replace(example, num_samples=stop - start, audio=cut(example.audio, start, stop))


def speaker_of(example: Example) -> str | tuple[str, ...]:
    """The speaker of an example; of a mixture all of them, which its target names."""
    named = example.target.get("speakers") if isinstance(example.target, dict) else None
    return tuple(map(str, named)) if isinstance(named, list) else example.speaker


def takes_of(audio: object) -> Iterator[Take]:
    """The utterances that an audio is made of, wherever in it they are: an audio is a dataclass."""
    if isinstance(audio, Take):
        yield audio
    elif isinstance(audio, tuple):
        for item in audio:
            yield from takes_of(item)
    elif is_dataclass(audio):
        for field in fields(audio):
            yield from takes_of(getattr(audio, field.name))
