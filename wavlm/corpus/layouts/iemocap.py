"""Layout of IEMOCAP: five sessions of two actors, with an emotion per utterance.

Labels are in `Session<n>/dialog/EmoEvaluation/<dialog>.txt`, a line per utterance that begins with its times:

    [6.2901 - 8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]

Texts are in `Session<n>/dialog/transcriptions/<dialog>.txt`, lines `<utterance> [<times>]: <text>`. Source: the
documentation of the release, and `s3prl/downstream/emotion/IEMOCAP_preprocess.py`. `Ses01F` in a name is the actor with
the motion capture; who speaks is the letter of the last part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows
from wavlm.corpus.layouts.table import read_lines, shorten
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb import IemocapLayout
from wavlm.storage.encoding import printable

# All labels of the release; `xxx` is no agreement of the annotators, `oth` other.
LABELS = ("ang", "dis", "exc", "fea", "fru", "hap", "neu", "oth", "sad", "sur", "xxx")
_UTTERANCE = re.compile(r"Ses(?P<session>0[1-5])[FM]_.+_(?P<who>[FM])[0-9X]+")
_TEXT = re.compile(r"(?P<name>Ses\S+)\s+\[[0-9.\s-]+\]:\s*(?P<text>.*)")


def read_iemocap(layout: IemocapLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the utterances. Those without a label that is used are left out.

    Raises BadDataError (LAYOUT) for labels that are not there or say nothing usable.
    """
    above = f"{layout.root}/Session?".lstrip("/")
    mine = f"{above}/sentences/wav"  # whole dialogs lie in dialog/wav
    paths = tree.audio(f"{mine}/*/*.wav", scope=f"{mine}/**")
    labels = _read_labels(layout, tree, above, {path.stem for path in paths})
    texts = _read_texts(tree, above)
    for path in paths:
        name = _UTTERANCE.fullmatch(path.stem)
        if name is None:
            raise BadDataError(
                "LAYOUT",
                f"found {printable(path.name)}, expected Ses<session><actor>_<dialog>_<speaker><number>.wav; at "
                f"{printable(str(tree.root / path))}; check the layout in the corpus spec",
            )
        if (label := layout.classes.get(labels.get(path.stem, ""))) is not None:
            session = int(name["session"])
            yield Recording(
                key_of(path.stem),
                path,
                f"Ses{session:02d}_{name['who']}",
                texts.get(path.stem),
                part=f"fold{session}",
                target=make_target(class_=label),
            )


def _read_labels(layout: IemocapLayout, tree: Tree, above: str, names: set[str]) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    files = tree.files(f"{above}/dialog/EmoEvaluation/*.txt")
    if not files:
        raise BadDataError(
            "LAYOUT",
            f"no file Session<n>/dialog/EmoEvaluation/<dialog>.txt; in {printable(str(tree.root))}; correct root of "
            "the layout in the corpus spec",
        )
    for file in files:
        tally = Tally(str(file))
        for line, name, label in parse_rows(tree.root / file, _lines(tree, file), _label):
            tally.add("left over" if name not in names else "duplicate" if name in labels else "path", name, line)
            labels.setdefault(name, label)
        tree.tables.append(tally.account(0))
    if unknown := sorted(set(layout.classes) - set(LABELS)):
        raise BadDataError(
            "LAYOUT",
            f"classes names the labels {', '.join(unknown)}, expected some of {', '.join(LABELS)}; in the corpus spec; "
            "correct the layout",
        )
    return labels


def _lines(tree: Tree, file: PurePosixPath) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in read_lines(tree.root / file) if line.startswith("["))


def _label(line: int, text: str) -> Iterator[tuple[int, str, str]]:
    """The utterance and the label of a line."""
    cells = [cell for cell in text.split("\t") if cell.strip()]
    if len(cells) < 3 or cells[2].strip() not in LABELS:
        raise RowError(f"found {shorten(text)}", f"expected times, utterance, and one of {', '.join(LABELS)}")
    yield line, cells[1].strip(), cells[2].strip()


def _read_texts(tree: Tree, above: str) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    for file in tree.files(f"{above}/dialog/transcriptions/*.txt"):
        for _, line in read_lines(tree.root / file):
            if (found := _TEXT.fullmatch(line.strip())) is not None:
                texts[found["name"]] = found["text"]
    return texts
