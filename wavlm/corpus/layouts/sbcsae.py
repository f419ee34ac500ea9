"""Layout of the Santa Barbara Corpus: a transcript SBC<number>.trn and an audio file per conversation.

A line has start, end, perhaps a speaker with a colon, and the text, separated by tabs; some lines have blanks between
the times, or none between times and speaker. A line without a speaker goes on with the last one. The rules by which
utterances are used are those of the script that SUPERB names (github.com/vectominist/SBCSAE-preprocess):

1. `[ ]` mark speech of two at once, `< >` doubtful words: such texts are left out, and so are those with unknown
   words (X, XX).
2. What stands in parentheses is a noise or a breath, and goes. `=` is a long sound, and goes. Punctuation goes, letters
   become upper case. A text with anything but letters and apostrophes then is left out.
3. Utterances that overlap others in time are left out.

Differences: there one overlapping line is dropped with each utterance before it that it touches, in the order of the
ends; here all that overlap are. Names of speakers are kept here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import in_order
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import to_name
from wavlm.corpus.layouts.table import table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb_generation import SbcsaeLayout
from wavlm.storage.encoding import printable

LAST_TRAIN, LAST_DEV = 46, 53  # of the conversations, numbered from 1
_NAME = re.compile(r"SBC0*(?P<number>[1-9][0-9]?)", re.IGNORECASE)
_LINE = re.compile(r"\s*(?P<start>[0-9]+\.?[0-9]*)\s+(?P<end>[0-9]+\.?[0-9]*)\s*(?P<rest>.*)", re.DOTALL)
_SPEAKER = re.compile(r"\s*(?P<speaker>[>#*$A-Za-z][A-Za-z0-9_/ .'?-]{0,30}):\s*(?P<text>.*)", re.DOTALL)
_ASIDE = re.compile(r"\([^)]*\)")
_MARKS = str.maketrans({**dict.fromkeys('.,-%?!@+~_*#&"', " "), "=": "", "\u2019": "'", "\x92": "'"})
_WORDS = re.compile(r"[A-Z' ]*[A-Z][A-Z' ]*")


@dataclass(frozen=True)
class Spoken:
    """One line of a transcript."""

    start_s: float
    end_s: float
    speaker: str
    text: str  # empty: the line is not used


def read_sbcsae(layout: SbcsaeLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are `SBC<number>_<start>-<end>` in hundredths of a second.

    Raises BadDataError (LAYOUT) for a transcript without audio, or without a line that can be read.
    """
    sounds = _find_audio(tree, layout.audio)
    files = tree.files(layout.trn)
    if not files:
        raise BadDataError(
            "LAYOUT",
            f"no file {layout.trn}; in {printable(str(tree.root))}; fetch the transcripts, or correct trn of the "
            "layout in the corpus spec",
        )
    yield from in_order(item for file in files for item in _read(layout, tree, file, sounds))


def _find_audio(tree: Tree, glob: str) -> dict[int, PurePosixPath]:
    """The audio of each conversation: SBC001.wav, or 01.mp3 as the university has it."""
    found: dict[int, PurePosixPath] = {}
    for path in tree.audio(glob):
        name = _NAME.fullmatch(path.stem)
        number = int(name["number"]) if name else int(path.stem) if path.stem.isdecimal() else 0
        if number and found.setdefault(number, path) != path:
            raise BadDataError(
                "LAYOUT",
                f"{printable(str(found[number]))} and {printable(str(path))} are both conversation {number}; in "
                f"{printable(str(tree.root))}; keep one of them",
            )
    return found


def _read(
    layout: SbcsaeLayout, tree: Tree, file: PurePosixPath, sounds: dict[int, PurePosixPath]
) -> Iterator[Recording]:
    name = _NAME.fullmatch(file.stem)
    number = int(name["number"]) if name else 0
    if number not in sounds:
        raise table_fault(tree.root / file, 0, "no audio of this conversation", "fetch it, or narrow trn in the spec")
    tally = Tally(str(file))
    spoken = list(_parse(tree, file, number, tally))
    if not spoken:
        raise table_fault(tree.root / file, 0, "no line of start, end and text", "fetch the transcript again")
    tree.tables.append(tally.account(0))
    part = "train" if number <= LAST_TRAIN else "dev" if number <= LAST_DEV else "test"
    for item in _apart(spoken):
        if item.text and layout.min_seconds <= item.end_s - item.start_s <= layout.max_seconds:
            key = f"SBC{number:03d}_{round(100 * item.start_s):06d}-{round(100 * item.end_s):06d}"
            start, end = item.start_s or None, item.end_s
            yield Recording(key_of(key), sounds[number], item.speaker, item.text, start_s=start, end_s=end, part=part)


def _parse(tree: Tree, file: PurePosixPath, conversation: int, tally: Tally) -> Iterator[Spoken]:
    """The lines with times. Bytes are Latin-1: not every transcript is UTF-8.

    Names are those of one conversation: another Doris of another one is another speaker.
    """
    speaker = UNKNOWN_SPEAKER
    text = (tree.root / file).read_bytes().decode("latin-1")
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            if line.strip():
                tally.add("left over", line, number)
            continue
        said = _SPEAKER.fullmatch(found["rest"])
        if said is not None:
            speaker = f"SBC{conversation:03d}_{to_name(said['speaker']).upper()}"
        tally.add("path", line, number)
        said_text = said["text"] if said else found["rest"]
        yield Spoken(float(found["start"]), float(found["end"]), speaker, normalize(said_text))


def normalize(text: str) -> str:
    """The words of a line; empty if it is not to be used."""
    if any(mark in text for mark in "[]<>"):
        return ""
    text = _ASIDE.sub("", text)
    words = " ".join(text.translate(_MARKS).split()).upper()
    if not _WORDS.fullmatch(words) or "XX" in words or "X" in words.split():
        return ""
    return words


def _apart(spoken: Sequence[Spoken]) -> Iterable[Spoken]:
    """The lines that share no time with another one, in their order. Lines without time are none."""
    ordered = sorted(
        (item for item in spoken if item.end_s > item.start_s), key=lambda item: (item.start_s, item.end_s)
    )
    latest = 0.0
    for place, item in enumerate(ordered):
        follows = ordered[place + 1].start_s if place + 1 < len(ordered) else item.end_s
        if item.start_s >= latest and follows >= item.end_s:
            yield item
        latest = max(latest, item.end_s)
