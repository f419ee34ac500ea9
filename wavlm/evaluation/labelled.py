"""Labelled corpora as tasks read them: each recording with its speaker, part, text, phones and target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import JsonValue

from wavlm.corpus.layouts import Phone
from wavlm.corpus.manifest import MANIFEST, read_manifest
from wavlm.corpus.targets import read_targets
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Take
from wavlm.shards import Reader


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
    content: str = ""  # of the recording: sha256 of its file, and the region of it
    place: str = ""  # where it is listed, for messages


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
        listed = read_manifest(self.corpus_dir)
        known = {row.key: row for row in listed}
        places = {row.key: number for number, row in enumerate(listed, 1)}
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
                content=":".join(map(str, found.content)),
                place=f"{self.corpus_dir / MANIFEST}, row {places[found.key]}, of {found.path}",
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
