"""Layout of CoVoST 2: a table of translations, with texts and speakers in validated.tsv of Common Voice 4.

Columns: `path`, `translation`, `split`; of validated.tsv `path`, `sentence`, `client_id`. The split `train_covost`
belongs to `train`, other splits than train, dev and test are not used. A backslash and a letter stand for the letter.
Source: `get_covost_splits.py` of github.com/facebookresearch/covost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import Lost, find_list, in_order
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import parse_rows, refuse_audio, to_name
from wavlm.corpus.layouts.table import read_table
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.superb_generation import CovostLayout

PARTS = {"train": "train", "train_covost": "train", "dev": "dev", "test": "test"}
_ESCAPED = re.compile(r"\\(.)")


def read_covost(layout: CovostLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the file names.

    Raises BadDataError: LAYOUT for a table that is not there or says nothing usable, TABLE_JOIN if more rows than the
    bound allows have no audio or no text.
    """
    tree.audio(f"{layout.root}/clips/*".lstrip("/"))
    texts = _read_texts(layout, tree)
    where = find_list(tree, layout.translations)
    lost = Lost(tree, Tally(str(where)))

    def take(line: int, cells: tuple[str, ...]) -> Iterator[Recording]:
        name, translation, split = cells
        if split not in PARTS:
            return
        refuse_audio(name)
        text, speaker = texts.get(name, ("", ""))
        target = make_target(translation=_plain(translation))
        path = PurePosixPath(layout.root, "clips", name if name in texts else "")  # the folder is no file: it is lost
        if lost.keep(path, line):
            yield Recording(key_of(path.stem), path, speaker, text, part=PARTS[split], target=target)

    rows = ((row.line, row.values) for row in read_table(tree.root / where, ("path", "translation", "split")))
    found = list(parse_rows(tree.root / where, rows, take))
    lost.check(layout.max_left_over_rows)
    yield from in_order(found)


def _read_texts(layout: CovostLayout, tree: Tree) -> Mapping[str, tuple[str, str]]:
    """Text and speaker by file name."""
    where = find_list(tree, layout.root, "validated.tsv")
    columns = ("path", "sentence", "client_id")
    tally, found = Tally(str(where)), dict[str, tuple[str, str]]()
    for row in read_table(tree.root / where, columns):
        name, text, speaker = row.values
        tally.add("path", name, row.line)
        found[name] = (_plain(text), to_name(speaker))
    tree.tables.append(tally.account(0))
    return found


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
