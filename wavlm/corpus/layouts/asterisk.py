"""Layout of Asterisk prompts: sounds/<language and voice>/**/*.g722, raw files, one voice per package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavlm.corpus.layouts.recording import Recording, audio_files, key_of
from wavlm.specs.corpora import AsteriskLayout

MADE_SILENCE = "silence"  # every package has a folder of 1 to 10 seconds of digital silence


def read_asterisk(layout: AsteriskLayout, root: Path) -> Iterator[Recording]:
    """Keys are the paths below `sounds`. They contain the voice, so keys of two packages differ."""
    for path in audio_files(root, "**/*.g722"):
        if path.parent.name == MADE_SILENCE:
            continue
        parts = path.with_suffix("").parts
        start = parts.index("sounds") + 1 if "sounds" in parts else 0
        yield Recording(key_of("/".join(parts[start:])), path, layout.speaker)
