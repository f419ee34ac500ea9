"""Examples that are compared with other audio: the parts of a mixture, or the same words of another voice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wavlm.evaluation.examples import Audio, Example


@dataclass(frozen=True)
class Referenced(Example):
    """An example with the audio that a result should be like."""

    references: tuple[Audio, ...] = ()
    shards_dirs: tuple[Path, ...] = ()  # of all shards folders of the evaluation, which references are read from
