"""Layout of Audio SNIPS as SUPERB prepares it: all.iob.snips.txt and <part>/<speaker>-snips-<part>-<number>.wav.

A line is `<name> BOS <word> ... EOS<tab>O <slot> ... <intent>`, with a slot per word, `O` for none. Words are in upper
case. Source: `s3prl/preprocess/snips_preprocess.py` writes it, `s3prl/downstream/ctc/text.py` reads it: neighbours with
one slot are one value, and single punctuation marks are no words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import find_list
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows
from wavlm.corpus.layouts.table import read_lines, shorten
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb import AudioSnipsLayout
from wavlm.storage.encoding import printable

TEXTS, BEGIN, END, OUTSIDE = "all.iob.snips.txt", "BOS", "EOS", "O"
MARKS = frozenset("?!.,;-")


class SlotText(NamedTuple):
    """What is said in a recording."""

    text: str
    target: str | None


def read_audio_snips(layout: AudioSnipsLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the file names. The class is the intent.

    Raises BadDataError (LAYOUT) for lines that say nothing usable, and for a recording without a line.
    """
    above = f"{layout.root}/".lstrip("/")
    paths = {part: tree.audio(f"{above}{part}/**/*.wav") for part in sorted(layout.speakers)}
    wanted = {path.stem for part, found in paths.items() for path in found if _is_of(layout, part, path.stem)}
    texts = _read_texts(layout, tree, wanted)
    for part, found in paths.items():
        for path in found:
            if not _is_of(layout, part, path.stem):
                continue  # of another voice: it counts as excluded
            if path.stem not in texts:
                raise BadDataError(
                    "LAYOUT",
                    f"no line of {printable(path.stem)} in {TEXTS}; in {printable(str(tree.root))}; fetch the texts "
                    "again",
                )
            said = texts[path.stem]
            yield Recording(key_of(path.stem), path, _voice(path.stem), said.text, part=part, target=said.target)


def _voice(name: str) -> str:
    return name.partition("-")[0]


def _is_of(layout: AudioSnipsLayout, part: str, name: str) -> bool:
    return _voice(name) in layout.speakers[part]


def _read_texts(layout: AudioSnipsLayout, tree: Tree, wanted: set[str]) -> Mapping[str, SlotText]:
    where = find_list(tree, layout.root, TEXTS)
    tally = Tally(str(where))

    def take(line: int, text: str) -> Iterator[tuple[str, SlotText]]:
        name, _, rest = text.partition(" ")
        if name in wanted:
            tally.add("path", name, line)
            yield name, _utterance(rest)

    lines = ((number, line) for number, line in read_lines(tree.root / where) if line.strip())
    found = dict(parse_rows(tree.root / where, lines, take))
    tree.tables.append(tally.account(len(wanted - found.keys())))
    return found


def _utterance(line: str) -> SlotText:
    said, tab, tagged = line.strip().partition("\t")
    words, slots = said.split(), tagged.split()
    if not tab or len(words) < 3 or words[0] != BEGIN or words[-1] != END or len(slots) != len(words):
        raise RowError(
            f"{len(words)} words and {len(slots)} slots: {shorten(line)}",
            "expected BOS, words, EOS, a tab, O, a slot per word, and the intent",
        )
    spoken = [(word, slot) for word, slot in zip(words[1:-1], slots[1:-1], strict=True) if word not in MARKS]
    if not spoken:
        raise RowError(f"no word: {shorten(line)}")
    return SlotText(" ".join(word for word, _ in spoken), make_target(class_=slots[-1], slots=_values(spoken)))


def _values(spoken: Sequence[tuple[str, str]]) -> list[list[str]]:
    grouped = groupby(spoken, key=lambda pair: pair[1])
    return [[slot, " ".join(word for word, _ in words)] for slot, words in grouped if slot != OUTSIDE]
