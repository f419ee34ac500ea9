"""Diarize a recording of any length: one call for all systems, by the folder that fine-tuning wrote.

| task and head of the folder | method | system |
|---|---|---|
| asv | cosine, plda | clustering of x-vectors (or ECAPA embeddings) |
| asv | vbx | VBx |
| sd, eend_eda | blocks | EEND-EDA |
| sd, sc_eend | blocks | SC-EEND |
| sd, eend_vc | blocks | EEND-vector clustering |
| sd, eend_gla | blocks | EEND-EDA clustering |
| sd, diarizer | blocks | SUPERB's head |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from wavlm.errors import Code, UsageError
from wavlm.evaluation.metrics.diarization import Turn
from wavlm.finetune.load import load_system
from wavlm.shards.flac import FULL_SCALE, Waveform
from wavlm.systems.diarization.backend import Backend, read_backend
from wavlm.systems.diarization.blockwise import BlockDiarizer, Blocks
from wavlm.systems.diarization.from_heads import TrainedHead
from wavlm.systems.diarization.speech import Detector
from wavlm.systems.diarization.stitching import Stitching
from wavlm.systems.diarization.windowed import Method, WindowClustering, WindowDiarizer
from wavlm.systems.recording import HeldSamples, RecordedSamples, open_samples

_LONG = Blocks(seconds=300.0, overlap_s=60.0)  # heads without embeddings: few seams, each a minute wide
_OF_HEAD = {
    "eend_vc": Blocks(seconds=30.0),
    "eend_gla": Blocks(seconds=60.0),
}
OF_WINDOWS, OF_BLOCKS = ("method", "detector", "stop"), ("threshold", "median", "block_seconds")
_OPTIONS = {"detector": "speech", "block_seconds": "block-seconds"}  # their names on the command line, where others


class DiarizesRecordings(Protocol):
    """A system that finds the turns of a recording."""

    def find_turns(self, samples: RecordedSamples, reference: Sequence[Turn] = ()) -> list[Turn]:
        """The turns, in order of time. `reference`: for systems whose detector of speech is the oracle."""
        ...


@dataclass(frozen=True)
class Choice:
    """What a user sets; None is the system's own value."""

    method: Method | None = None  # of embeddings
    detector: Detector | None = None  # of speech
    speakers: int | None = None  # how many there are, if that is known
    stop: float | None = None  # of clustering windows
    threshold: float | None = None  # above which a speaker of a block speaks
    median: int | None = None  # frames
    block_seconds: float | None = None
    device: str | None = None


def open_diarizer(folder: Path, choice: Choice | None = None) -> DiarizesRecordings:
    """The diarizer in a folder of fine-tuning.

    Raises UsageError: SYSTEM_UNKNOWN for a folder without a system that diarizes, OPTION_UNUSED for a choice that is
    for systems of another kind, and as `wavlm.finetune.load`.
    """
    chosen = Choice() if choice is None else choice
    loaded = load_system(folder, chosen.device)
    head = TrainedHead(loaded)
    task, kind = loaded.about.task.type, str(loaded.about.head.type)
    if task == "asv":
        _refuse(chosen, OF_BLOCKS, f"{loaded.about.name} clusters windows", folder)
        backend = read_backend(folder)
        return WindowDiarizer(head.embed, _clustering(chosen, backend), backend.plda)
    if task != "sd":
        raise UsageError(
            Code.SYSTEM_UNKNOWN,
            f"the system {loaded.about.name} does the task {task}, expected sd or asv; at {folder}; name another "
            "folder",
        )
    # Speakers of heads without embeddings are matched where blocks overlap: no number can be asked for.
    unused = OF_WINDOWS if kind in _OF_HEAD else (*OF_WINDOWS, "speakers")
    _refuse(chosen, unused, f"{loaded.about.name} finds speakers of blocks by the head {kind}", folder)
    blocks = _OF_HEAD.get(kind, _LONG)
    margin = getattr(loaded.about.head, "margin", None)
    # Attractors of EEND-EDA clustering lie a margin apart; unit vectors of EEND-vector clustering a distance of 1.
    farthest = margin / 2 if kind == "eend_gla" and margin is not None else blocks.stitching.farthest
    return BlockDiarizer(head.find_block, head.activity_hop_samples, _blocks(chosen, blocks, farthest))


def diarize(
    recording: Path | str | Waveform,
    system: DiarizesRecordings | Path | str,
    choice: Choice | None = None,
    reference: Sequence[Turn] = (),
) -> list[Turn]:
    """Who speaks when: start and end in seconds, and the speaker's number as text, in order of time.

    recording: an audio file of any length, format and rate, or samples (N,) at 16 kHz within -1 .. 1. system: what
    `open_diarizer` gave, or a folder. Raises AudioError for a file that cannot be decoded.
    """
    opened = open_diarizer(Path(system), choice) if isinstance(system, Path | str) else system
    if isinstance(recording, Path | str):
        with open_samples(Path(recording)) as samples:
            return opened.find_turns(samples, reference)
    pcm = np.rint(np.asarray(recording, np.float32) * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return opened.find_turns(HeldSamples(pcm), reference)


def _refuse(chosen: Choice, unused: Sequence[str], why: str, folder: Path) -> None:
    """Raise UsageError (OPTION_UNUSED) for what is set and would change nothing."""
    if found := [name for name in unused if getattr(chosen, name) is not None]:
        names = ", ".join(_OPTIONS.get(name, name) for name in found)
        raise UsageError(
            Code.OPTION_UNUSED,
            f"{names} would change nothing, for {why}; at {folder}; leave it out, or name a system of another kind",
        )


def _clustering(chosen: Choice, backend: Backend) -> WindowClustering:
    method = chosen.method or backend.method
    usual = backend.stops.get(method, WindowClustering().stop)
    return WindowClustering(
        method=method,
        detector=chosen.detector or WindowClustering().detector,
        stop=usual if chosen.stop is None else chosen.stop,
        speakers=chosen.speakers,
        vbx=backend.vbx,
    )


def _blocks(chosen: Choice, blocks: Blocks, farthest: float) -> Blocks:
    stitching = Stitching(
        threshold=blocks.stitching.threshold if chosen.threshold is None else chosen.threshold,
        median=blocks.stitching.median if chosen.median is None else chosen.median,
        farthest=farthest,
        speakers=chosen.speakers,
    )
    seconds = chosen.block_seconds or blocks.seconds
    return replace(blocks, seconds=seconds, overlap_s=min(blocks.overlap_s, seconds / 2), stitching=stitching)
