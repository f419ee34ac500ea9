"""Layout of Asterisk prompts: sounds/<language and voice>/**/*.g722, raw files, one voice per package."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.layouts import AsteriskLayout

MADE_SILENCE = "silence"  # every package has a folder of 1 to 10 seconds of digital silence


def read_asterisk(layout: AsteriskLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the paths below `sounds`. They contain the voice, so keys of two packages differ."""
    for path in tree.audio("**/*.g722"):
        if path.parent.name == MADE_SILENCE:
            continue
        parts = path.with_suffix("").parts
        start = parts.index("sounds") + 1 if "sounds" in parts else 0
        yield Recording(key_of("/".join(parts[start:])), path, layout.speaker)
