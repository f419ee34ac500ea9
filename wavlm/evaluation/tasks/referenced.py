"""Examples that are compared with other audio: the parts of a mixture, or the same words of another voice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from wavlm.evaluation.examples import Audio, Example, cut, cut_audio


@dataclass(frozen=True)
class Referenced(Example):
    """An example with the audio that a result should be like."""

    references: tuple[Audio, ...] = ()
    shards_dirs: tuple[Path, ...] = ()  # of all shards folders of the evaluation, which references are read from


def cut_referenced(example: Referenced, start: int, stop: int) -> Referenced:
    """The samples from `start` to before `stop` of an example and of its references, which are as long."""
    found = cut_audio(example, start, stop)
    assert isinstance(found, Referenced)  # noqa: S101 - as it was
    return replace(found, references=tuple(cut(it, start, stop) for it in example.references))
