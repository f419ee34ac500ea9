"""Layout of Festvox clunits voices: wav/*.wav, texts in etc/txt.done.data, timed phones in a catalogue."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Phone, Recording
from wavlm.corpus.layouts.table import read_lines, read_text, table_fault
from wavlm.corpus.layouts.tables import order_phones
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.layouts import FestvoxLayout

PROMPT = re.compile(r'\(\s*(?P<name>\S+)\s+"(?P<text>.*)"\s*\)')
HEADER_END = "EST_Header_End"
PAUSE = "pau"


def read_festvox(layout: FestvoxLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the sentences. A `+` in a text marks the vowel before it as stressed.

    The target has the phones without pauses.
    """
    voices: dict[Path, tuple[dict[str, str], dict[str, tuple[Phone, ...]]]] = {}
    for path in tree.audio("**/wav/*.wav"):
        voice = tree.root / path.parent.parent
        if voice not in voices:
            voices[voice] = _texts(voice / "etc" / "txt.done.data"), _phones(voice)
        texts, phones = voices[voice]
        name = path.stem
        spoken = [segment.phone for segment in phones.get(name, ()) if segment.phone != PAUSE]
        target = make_target(phones=spoken or None)
        yield Recording(key_of(name), path, layout.speaker, texts.get(name), phones.get(name), target=target)


def _texts(path: Path) -> dict[str, str]:
    """{sentence: text} of lines `( name "text" )`."""
    if not path.exists():
        return {}
    texts: dict[str, str] = {}
    for number, line in read_lines(path):
        match = PROMPT.fullmatch(line.strip())
        text = match["text"].replace('\\"', '"') if match else ""
        if match and texts.setdefault(match["name"], text) != text:
            raise table_fault(path, number, f"a second text of {match['name']}", "fetch the corpus again")
    return texts


def _phones(voice: Path) -> dict[str, tuple[Phone, ...]]:
    """{sentence: segments} of lines `<phone>_<unit> <sentence> <start> <middle> <end>`."""
    segments: dict[str, list[Phone]] = defaultdict(list)
    for path in sorted(voice.glob("festival/clunits/*.catalogue")):
        lines = read_text(path).splitlines()
        if HEADER_END not in lines:
            raise BadDataError("LAYOUT", f"no line {HEADER_END}; in {path}; not a catalogue?")
        for number, line in enumerate(lines[lines.index(HEADER_END) + 1 :]):
            name, phone = _segment(line, path, number)
            segments[name].append(phone)
    return {name: order_phones(voice, name, found) for name, found in segments.items()}


def _segment(line: str, path: Path, number: int) -> tuple[str, Phone]:
    try:
        unit, name, start, _, end = line.split()
        return name, Phone(float(start), float(end), unit.rpartition("_")[0])
    except ValueError as error:
        raise BadDataError(
            "LAYOUT",
            f"found {line!r}, expected unit, sentence, start, middle, end; in {path}, entry "
            f"{number}; fetch the corpus again",
        ) from error
