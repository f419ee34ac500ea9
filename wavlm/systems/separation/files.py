"""Separate a file into files, a stretch at a time: memory does not grow with its length."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import soundfile

from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.storage.files import atomic_path
from wavlm.systems.recording import open_samples
from wavlm.systems.separation.separate import SeparatesWindows, Windows, separate_stretches


def separate_file(
    recording: Path, separates: SeparatesWindows, out: Path, windows: Windows | None = None
) -> tuple[Path, Path]:
    """Write NAME-1.flac and NAME-2.flac to a folder. They appear when they are complete.

    Raises AudioError for a file that cannot be decoded.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = (out / f"{recording.stem}-1.flac", out / f"{recording.stem}-2.flac")
    with ExitStack() as stack:
        samples = stack.enter_context(open_samples(recording))
        partial = [stack.enter_context(atomic_path(path)) for path in paths]
        files = [
            stack.enter_context(soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, "PCM_16", format="FLAC"))
            for path in partial
        ]
        for stretch in separate_stretches(samples, separates, windows or Windows()):
            for file, voice in zip(files, stretch.clip(-1, 1), strict=True):
                file.write(voice)
    return paths
