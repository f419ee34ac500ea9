"""Asterisk prompts: sounds/<language and voice>/**/*.g722, raw, one voice a package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavlm.corpus.layouts.recording import Recording, audio_files, key_of
from wavlm.specs.corpora import AsteriskLayout

MADE_SILENCE = "silence"  # a folder of digital silence of 1 to 10 seconds in every package


def read_asterisk(layout: AsteriskLayout, root: Path) -> Iterator[Recording]:
    """Keys are the paths below `sounds`, with the voice, so that no two packages share one."""
    for path in audio_files(root, "**/*.g722"):
        if path.parent.name == MADE_SILENCE:
            continue
        parts = path.with_suffix("").parts
        start = parts.index("sounds") + 1 if "sounds" in parts else 0
        yield Recording(key_of("/".join(parts[start:])), path, layout.speaker)
