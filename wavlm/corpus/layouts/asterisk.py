"""Layout of Asterisk prompts: sounds/<language and voice>/**/*.g722, raw files, one voice per package.

The texts are in core-sounds-<language>.txt of another package, a line `<path below the voice>: <text>` per prompt. Some
texts have notes in brackets. Of those in the middle nobody knows whether they are spoken, so such a text is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.table import read_lines
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.layouts import AsteriskLayout

MADE_SILENCE = "silence"  # every package has a folder of 1 to 10 seconds of digital silence
TEXTS = ("**/core-sounds-*.txt", "**/core-sounds-*.txt.gz")
_NOTE = re.compile(r"[\[\](){}<>]")


def read_asterisk(layout: AsteriskLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the paths below `sounds`. They contain the voice, so keys of two packages differ."""
    paths = [path for path in tree.audio("**/*.g722") if path.parent.name != MADE_SILENCE]
    names = []
    for path in paths:
        parts = path.with_suffix("").parts
        names.append(parts[parts.index("sounds") + 1 :] if "sounds" in parts else parts)
    texts = _texts(tree, {"/".join(parts[1:]) for parts in names})
    for path, parts in zip(paths, names, strict=True):
        text = texts.get("/".join(parts[1:]))
        if text is not None or not layout.only_with_text:
            yield Recording(key_of("/".join(parts)), path, layout.speaker, text)


def _texts(tree: Tree, prompts: set[str]) -> dict[str, str]:
    """{prompt: text}; a prompt that has two texts, or one with a note, has none. Adds accounts of the lists."""
    texts: dict[str, set[str]] = {}
    for path in (path for pattern in TEXTS for path in tree.files(pattern)):
        tally = Tally(str(path))
        for number, line in read_lines(tree.root / path):
            name, colon, text = (part.strip() for part in line.partition(":"))
            if not colon or name.startswith(";"):
                continue
            twice = name in texts
            tally.add("left over" if name not in prompts else "ambiguous" if twice else "path", name, number)
            texts.setdefault(name, set()).add(text)
        tree.tables.append(tally.account(len(prompts - texts.keys())))
    return {name: text for name, (text, *more) in texts.items() if text and not more and not _NOTE.search(text)}
