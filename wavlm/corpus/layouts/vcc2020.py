"""Layout of the Voice Conversion Challenge 2020: <folder>/<speaker>/<language letter><number>.wav, and transcriptions.

Names of speakers: S source or T target, language (E, F, G, M), F female or M male, number. Lines of transcriptions:
`<number> <text>`; the language of a file of them stands in its name, of the evaluation set it is English. Source: the
README of github.com/nii-yamagishilab/VCC2020-database and its transcriptions; the lists of SUPERB:
`s3prl/downstream/a2o-vc-vcc2020/data/lists`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb_generation import Vcc2020Layout
from wavlm.storage.encoding import printable

LANGUAGES = {"E": "en", "F": "fi", "G": "de", "M": "zh"}
_IN_NAME = {"Eng": "E", "Fin": "F", "Ger": "G", "Man": "M", "evaluation": "E"}
# The sets are numbered from 10001 (one text for all speakers of a language), from 20001 (of each its own), and from
# 30001 (evaluation). SUPERB selects on the last ten of 10001 to 10070.
DEV = range(10061, 10071)
TRAIN = (range(10001, 10061), range(20001, 20051))
TEST = range(30001, 30026)
_SPEAKER = re.compile(r"[ST](?P<language>[EFGM])[FM][0-9]")
_SENTENCE = re.compile(r"(?P<language>[EFGM])(?P<number>[0-9]{5})")


def read_vcc2020(layout: Vcc2020Layout, tree: Tree) -> Iterator[Recording]:
    """Keys are `<speaker>_<sentence>`. The target names the sentence, which is one text for several speakers.

    Raises BadDataError (LAYOUT) for files that are named otherwise, and for transcriptions that say nothing usable.
    """
    above = f"{layout.root}/".lstrip("/")
    texts = _read_texts(tree, above)
    for path in tree.audio(f"{above}**/[ST][EFGM][FM][0-9]/*.wav"):
        speaker, sentence = _SPEAKER.fullmatch(path.parent.name), _SENTENCE.fullmatch(path.stem)
        if speaker is None or sentence is None:
            raise BadDataError(
                "LAYOUT",
                f"found {printable(path.name)} of {printable(path.parent.name)}, expected a letter and five digits; at "
                f"{printable(str(tree.root / path))}; check the layout in the corpus spec",
            )
        yield Recording(
            key_of(f"{path.parent.name}_{path.stem}"),
            path,
            path.parent.name,
            texts.get(path.stem),
            language=LANGUAGES[sentence["language"]],
            part=_part(path.parent.name, int(sentence["number"])),
            target=make_target(sentence=path.stem),
        )


def _part(speaker: str, number: int) -> str:
    """What SUPERB does with a sentence: targets are learnt, sources are converted."""
    if number in TEST:
        return "test" if speaker.startswith("S") else "reference"
    if speaker.startswith("S"):
        return "reference"
    return "dev" if number in DEV else "train" if any(number in numbers for numbers in TRAIN) else "reference"


def _read_texts(tree: Tree, above: str) -> Mapping[str, str]:
    """Texts by sentence."""
    texts: dict[str, str] = {}
    for file in tree.files(f"{above}**/*transcriptions.txt"):
        languages = [letter for name, letter in _IN_NAME.items() if f"_{name}_" in f"_{PurePosixPath(file).stem}_"]
        if len(languages) != 1:
            raise table_fault(tree.root / file, 0, "its name tells no language", "keep the publisher's names")
        tally = Tally(str(file))
        for number, line in read_lines(tree.root / file):
            name, _, text = line.strip().partition(" ")
            if not name:
                continue
            if not name.isdecimal() or not text.strip():
                raise table_fault(tree.root / file, number, f"found {shorten(line)}", "expected <number> <text>")
            tally.add("path", name, number)
            texts[f"{languages[0]}{name}"] = text.strip()
        tree.tables.append(tally.account(0))
    return texts
