"""Layout of LibriSpeech and mini LibriSpeech: <part>/<speaker>/<chapter>/<speaker>-<chapter>-<n>.flac."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from wavlm.corpus.layouts.recording import Recording, audio_files, key_of
from wavlm.errors import BadDataError
from wavlm.specs.corpora import LibrispeechLayout

UTTERANCE = re.compile(r"(?P<speaker>[0-9]+)-(?P<chapter>[0-9]+)-[0-9]+")


def read_librispeech(layout: LibrispeechLayout, root: Path) -> Iterator[Recording]:
    """Keys are LibriSpeech's utterance ids. Texts are in `*.trans.txt` beside the audio."""
    for path in audio_files(root, f"{layout.root}/**/*.flac".lstrip("/")):
        found = UTTERANCE.fullmatch(path.stem)
        if found is None:
            raise BadDataError(
                "LAYOUT",
                f"found {path.name}, expected <speaker>-<chapter>-<number>.flac; at {root / path}; "
                "check the layout in the corpus spec",
            )
        chapter = f"{found['speaker']}-{found['chapter']}"
        texts = _texts(root / path.parent / f"{chapter}.trans.txt")
        yield Recording(key_of(path.stem), path, found["speaker"], texts.get(path.stem))


@lru_cache(maxsize=1)  # the files of a chapter come one after another
def _texts(path: Path) -> dict[str, str]:
    """{utterance: text} of one chapter; empty if there is no such file."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)
