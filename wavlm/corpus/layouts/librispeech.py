"""Layout of LibriSpeech and mini LibriSpeech: <part>/<speaker>/<chapter>/<speaker>-<chapter>-<n>.flac."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.lexicon import Lexicon
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.layouts import LibrispeechLayout
from wavlm.storage.encoding import printable

UTTERANCE = re.compile(r"(?P<speaker>[0-9]+)-(?P<chapter>[0-9]+)-[0-9]+")


def read_librispeech(layout: LibrispeechLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are LibriSpeech's utterance ids. Texts are in `*.trans.txt` beside the audio. Parts are the subsets."""
    lexicon, above = Lexicon(tree, layout.lexicon), len(PurePosixPath(layout.root).parts)
    for path in tree.audio(f"{layout.root}/**/*.flac".lstrip("/")):
        found = UTTERANCE.fullmatch(path.stem)
        if found is None:
            raise BadDataError(
                "LAYOUT",
                f"found {printable(path.name)}, expected <speaker>-<chapter>-<number>.flac; at "
                f"{printable(str(tree.root / path))}; "
                "check the layout in the corpus spec",
            )
        chapter = f"{found['speaker']}-{found['chapter']}"
        texts = _texts(tree.root / path.parent / f"{chapter}.trans.txt")
        text = texts.get(path.stem)
        part = path.parts[-4] if len(path.parts) >= above + 4 else ""
        target = lexicon.target(text)
        yield Recording(key_of(path.stem), path, found["speaker"], text, part=printable(part), target=target)
    lexicon.check()


@lru_cache(maxsize=1)  # the files of a chapter come one after another
def _texts(path: Path) -> dict[str, str]:
    """{utterance: text} of one chapter; empty if there is no such file."""
    if not path.exists():
        return {}
    texts: dict[str, str] = {}
    for number, line in read_lines(path):
        name, space, text = line.partition(" ")
        if space and texts.setdefault(name, text) != text:
            raise table_fault(path, number, f"a second text of {shorten(name)}", "fetch the corpus again")
    return texts
