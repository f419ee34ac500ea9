"""Systems that find the speakers of one block after another, overlapped speech included, and stitch the blocks.

Legend: N samples, F frames of the model, A activity frames, K speakers of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from wavlm.errors import BadDataError, Code
from wavlm.evaluation.heads.block import BlockOutput
from wavlm.evaluation.metrics.diarization import Turn
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.systems.diarization.stitching import PlacedBlock, Stitching, stitch
from wavlm.systems.recording import RecordedSamples, read_waveform_of

LEAST_SAMPLES = SAMPLE_RATE_HZ  # a rest of less joins the block before it: a second says little about a voice


class FindBlock(Protocol):
    """From the waveform of a block (N,) to its speakers."""

    def __call__(self, waveform: Waveform) -> BlockOutput: ...


@dataclass(frozen=True)
class Blocks:
    """How a recording is cut and put together again."""

    seconds: float = 30.0
    overlap_s: float = 0.0  # of neighbouring blocks: needed where a head gives no embeddings
    margin_samples: int = 80  # read behind a block, so that the last frame of the model has its whole window
    stitching: Stitching = field(default_factory=Stitching)


@dataclass(frozen=True)
class BlockDiarizer:
    """Diarizes block by block."""

    find: FindBlock
    hop_samples: int  # from one activity frame to the next
    settings: Blocks

    def find_turns(self, samples: RecordedSamples, reference: Sequence[Turn] = ()) -> list[Turn]:  # noqa: ARG002
        """The turns of a recording. The reference is not looked at.

        Raises BadDataError (BLOCK_BAD) for a head whose activities are not probabilities.
        """
        num_frames = -(-samples.num_samples // self.hop_samples)
        placed = list(self._compute(samples))
        turns = stitch(placed, num_frames, self.hop_samples, self.settings.stitching)
        end_s = samples.num_samples / SAMPLE_RATE_HZ  # the last frame may reach beyond it
        return [(start_s, min(stop_s, end_s), name) for start_s, stop_s, name in turns if start_s < end_s]

    def _compute(self, samples: RecordedSamples) -> Iterator[PlacedBlock]:
        cuts = cut_blocks(samples.num_samples, self.settings, self.hop_samples)
        for number, (start, stop) in enumerate(cuts):
            # Silence follows a recording of less than a second: models have no frame of a few samples.
            last_read = max(stop + self.settings.margin_samples, start + LEAST_SAMPLES)
            waveform = read_waveform_of(samples, start, last_read)
            output = _fit(self.find(waveform), -(-(stop - start) // self.hop_samples), start)
            after = cuts[number + 1][0] if number + 1 < len(cuts) else stop
            before = cuts[number - 1][1] if number else start
            # Half of what two blocks share counts for each.
            first = (before - start) // 2 // self.hop_samples
            length = len(output.activities)
            last = length - ((stop - after) // self.hop_samples - (stop - after) // 2 // self.hop_samples)
            yield PlacedBlock(output, start // self.hop_samples, first, last)


def cut_blocks(num_samples: int, settings: Blocks, hop_samples: int) -> list[tuple[int, int]]:
    """First and last sample of each block. Blocks begin at a frame, and a short rest belongs to the last one."""
    size = max(1, round(settings.seconds * SAMPLE_RATE_HZ / hop_samples)) * hop_samples
    step = size - min(round(settings.overlap_s * SAMPLE_RATE_HZ / hop_samples) * hop_samples, size - hop_samples)
    cuts: list[tuple[int, int]] = []
    for start in range(0, num_samples, step):
        rest = num_samples - start - size
        if rest < LEAST_SAMPLES:
            cuts.append((start, num_samples))
            break
        cuts.append((start, start + size))
    return cuts


def _fit(output: BlockOutput, num_frames: int, start: int) -> BlockOutput:
    """The output with as many frames as the block has: a model's frames may be one fewer or more."""
    found = output.activities
    if not np.isfinite(found).all() or (found.size and not 0 <= found.min() <= found.max() <= 1):
        raise BadDataError(
            Code.BLOCK_BAD,
            "a head's activities are not all between 0 and 1; in the block that begins at "
            f"{start / SAMPLE_RATE_HZ:.1f} s; check the system's weights",
        )
    if len(found) < num_frames:
        last = found[-1:] if len(found) else np.zeros((1, found.shape[1]), np.float32)
        found = np.concatenate([found, np.repeat(last, num_frames - len(found), axis=0)])
    return BlockOutput(found[:num_frames], output.embeddings)
