"""Examples: what a task predicts, from which audio. Labelled corpora are read into rows, tasks make examples of them.

Shapes: N samples at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

from wavlm.corpus.layouts import Phone
from wavlm.corpus.manifest import read_manifest
from wavlm.corpus.targets import read_targets
from wavlm.errors import BadDataError
from wavlm.shards import Reader
from wavlm.specs import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from wavlm.shards.flac import Waveform


class Audio(Protocol):
    """Where the waveform of an example comes from. It can be pickled; its repr says all that decides its samples."""

    def load(self, readers: Sequence[Reader]) -> Waveform:
        """The samples (N,), given the reader of each shards folder of the evaluation."""
        ...


@dataclass(frozen=True)
class Take:
    """An utterance of a shards folder, or a part of it."""

    folder: int  # its number among the folders of the evaluation
    row: int  # in the index of the folder
    start: int = 0  # samples
    stop: int | None = None

    def load(self, readers: Sequence[Reader]) -> Waveform:
        return readers[self.folder].read(self.row, self.start, self.stop)


@dataclass(frozen=True)
class Example:
    """One thing to predict."""

    key: str  # unique in an evaluation
    speaker: str  # empty: not known
    part: str  # as the publisher names it; empty: not named
    num_samples: int
    audio: Audio
    target: JsonValue  # what the task predicts, in the task's own form

    @property
    def seconds(self) -> float:
        return self.num_samples / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Row:
    """A recording of a labelled corpus."""

    key: str
    speaker: str
    part: str
    text: str | None
    phones: tuple[Phone, ...] | None
    target: Mapping[str, JsonValue]  # `wavlm.corpus.targets`; empty: none
    num_samples: int
    take: Take


@dataclass(frozen=True)
class LabelledCorpus:
    """A corpus and its shards, as a task reads them."""

    name: str
    corpus_dir: Path
    shards_dir: Path
    number: int  # of the shards folder among those of the evaluation

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The recordings, in the order of the shards.

        Raises BadDataError (LAYOUT) for a recording that was cut or joined, since its target is that of the whole.
        """
        return tuple(self._read())

    def _read(self) -> Iterator[Row]:
        targets = read_targets(self.corpus_dir).by_key
        known = {row.key: row for row in read_manifest(self.corpus_dir)}
        index = Reader(self.shards_dir).index
        for number, key in enumerate(index.keys):
            found = known.get(str(key))
            if found is None:
                raise BadDataError(
                    "LAYOUT",
                    f"the utterance {key} is no whole recording of {self.name}; at {self.shards_dir}; evaluate with "
                    "shards that cut and join nothing",
                )
            target = targets.get(found.key)
            yield Row(
                key=found.key,
                speaker="" if found.speaker == "unknown" else found.speaker,
                part=target.part if target else found.split,
                text=found.text,
                phones=found.phones,
                target=target.fields if target else {},
                num_samples=int(index.samples[number]),
                take=Take(self.number, number),
            )


def require(row: Row, name: str, corpus: str) -> JsonValue:
    """A field of the target of a recording. Raises BadDataError (TARGET_MISSING) if the corpus does not give it."""
    if name not in row.target:
        raise BadDataError(
            "TARGET_MISSING",
            f"the recording {row.key} has no {name}, found {', '.join(row.target) or 'no target at all'}; in the "
            f"corpus {corpus}; give the corpus a layout that says it",
        )
    return row.target[name]
