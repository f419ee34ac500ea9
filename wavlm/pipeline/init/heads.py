"""Read the heads of audio files: format, rate, channels and length, many at a time, behind fences.

Nothing is decoded but what has no length in its structure, such as Opus in WebM; and of that only some files, by which
the lengths of the others are estimated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.corpus.audio.stream import open_audio
from wavlm.execution.fence import STALL_SECONDS, Fence, LostCallError
from wavlm.execution.progress import Progress

BATCH = 64  # files per call of a child process: a call per file would take longer than the look
MEASURED = 12  # files without a length that are decoded, to estimate the others by their bytes
PRELOAD = ("wavlm.pipeline.init.heads",)


@dataclass(frozen=True)
class FileHead:
    """What the head of a file says. `problem`: the code of why it cannot be used; empty if it can."""

    path: str
    size_bytes: int
    format: str = ""
    subtype: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    seconds: float = 0.0
    is_estimated: bool = False  # the length is estimated by the size of the file
    problem: str = ""

    @property
    def kind(self) -> str:
        """Format and coding, such as `WAV PCM_16`."""
        return f"{self.format} {self.subtype}".strip() if self.subtype != self.format else self.format


def read_heads(
    paths: Sequence[Path], workers: int, progress: Progress, stall_seconds: float = STALL_SECONDS
) -> list[FileHead]:
    """The heads of files, in their order. A file that hangs or crashes its decoder is a problem, and not an error.

    Raises ServiceMissingError (STORAGE_STALLED) and WorkerDiedError as `wavlm.execution.fence`.
    """
    count = max(1, min(workers, -(-len(paths) // BATCH)))
    fences: SimpleQueue[Fence] = SimpleQueue()
    made = [Fence(stall_seconds, PRELOAD) for _ in range(count)]
    for fence in made:
        fences.put(fence)
    batches = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
    heads: list[FileHead] = []
    try:
        with ThreadPoolExecutor(count) as pool:
            for batch in pool.map(lambda batch: _read_batch(batch, fences), batches):
                heads += batch
                progress(len(heads), len(paths))
        return _measure_some(heads, made[0])
    finally:
        for fence in made:
            fence.close()


def read_batch(paths: Sequence[Path]) -> Iterator[FileHead]:
    """The heads of some files, one after the other. Runs in the child."""
    yield from map(_read_head, paths)


def measure(path: Path) -> Iterator[float | None]:
    """The seconds of a file by decoding it; they come last. Raises AudioError."""
    with open_audio(path) as stream:
        for _ in stream.blocks():
            yield None
        yield stream.num_samples / stream.info.sample_rate_hz


def _read_batch(paths: Sequence[Path], fences: SimpleQueue[Fence]) -> list[FileHead]:
    fence = fences.get()
    heads: list[FileHead] = []
    try:
        while len(heads) < len(paths):
            try:
                heads += fence.iterate(read_batch, paths[len(heads) :])  # what came before a loss is kept
            except LostCallError as error:
                heads.append(_lost(paths[len(heads)], error))
        return heads
    finally:
        fences.put(fence)


def _lost(path: Path, error: LostCallError) -> FileHead:
    return FileHead(str(path), 0, problem=Reason.DECODER_STALLED if error.kind == "stalled" else Reason.DECODER_CRASHED)


def _read_head(path: Path) -> FileHead:
    try:
        size = path.stat().st_size
        with open_audio(path) as stream:
            info = stream.info
    except AudioError as error:
        return FileHead(str(path), 0, problem=str(error.code))
    except OSError:
        return FileHead(str(path), 0, problem=Reason.AUDIO_UNREADABLE)
    known = info.num_samples >= 0
    return FileHead(
        str(path),
        size,
        info.format,
        info.subtype,
        info.sample_rate_hz,
        info.channels,
        info.num_samples / info.sample_rate_hz if known else 0.0,
        is_estimated=not known,
    )


def _measure_some(heads: Sequence[FileHead], fence: Fence) -> list[FileHead]:
    """The heads with a length for each file that has none: measured for a few of each kind, estimated for the rest."""
    unknown: dict[str, list[int]] = defaultdict(list)
    for number, head in enumerate(heads):
        if head.is_estimated:
            unknown[head.kind].append(number)
    filled = list(heads)
    for numbers in unknown.values():
        chosen = numbers[:: max(1, len(numbers) // MEASURED)][:MEASURED]
        for number in chosen:
            filled[number] = _measured(heads[number], fence)
        sound = [filled[number] for number in chosen if not filled[number].problem]
        per_byte = sum(head.seconds for head in sound) / max(1, sum(head.size_bytes for head in sound))
        for number in set(numbers).difference(chosen):
            filled[number] = replace(heads[number], seconds=per_byte * heads[number].size_bytes)
    return filled


def _measured(head: FileHead, fence: Fence) -> FileHead:
    try:
        *_, seconds = fence.iterate(measure, Path(head.path))
    except AudioError as error:
        return replace(head, problem=str(error.code), is_estimated=False)
    except LostCallError as error:
        return _lost(Path(head.path), error)
    return replace(head, seconds=seconds or 0.0, is_estimated=False)
