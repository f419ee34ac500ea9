"""Layout of Multilingual LibriSpeech: <part>/audio/<speaker>/<book>/<speaker>_<book>_<number>.flac or .opus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Fate, Tally
from wavlm.corpus.layouts.manifests import check_listed
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import SPLITS
from wavlm.corpus.layouts.table import read_lines
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.publishers import MlsLayout
from wavlm.storage.encoding import printable

UTTERANCE = re.compile(r"(?P<speaker>[0-9]+)_(?P<book>[0-9]+)_[0-9]+")
PARTS = ("dev", "test", "train")
TEXTS = "transcripts.txt"


def read_mls(layout: MlsLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the utterances. Raises BadDataError (LAYOUT, TABLE_JOIN)."""
    for part in PARTS:
        folder = PurePosixPath(layout.root) / part
        paths = [path for ending in ("flac", "opus") for path in tree.audio(f"{folder}/audio/**/*.{ending}")]
        if paths:
            yield from _read_part(layout, tree, folder, sorted(paths))


def _read_part(layout: MlsLayout, tree: Tree, folder: PurePosixPath, paths: list[PurePosixPath]) -> Iterator[Recording]:
    texts = _texts(layout, tree, folder, {path.stem for path in paths})
    for path in paths:
        found = UTTERANCE.fullmatch(path.stem)
        if found is None:
            raise BadDataError(
                "LAYOUT",
                f"found {printable(path.name)}, expected <speaker>_<book>_<number>; at "
                f"{printable(str(tree.root / path))}; check the layout in the corpus spec",
            )
        yield Recording(key_of(path.stem), path, found["speaker"], texts.get(path.stem), split=SPLITS[folder.name])


def _texts(layout: MlsLayout, tree: Tree, folder: PurePosixPath, stems: set[str]) -> dict[str, str]:
    """{utterance: text} of one part; empty if it has no table. Adds the account of the table to the tree."""
    if (where := tree.spelled(str(folder / TEXTS))) is None:
        return {}
    tally, texts = Tally(str(where)), dict[str, str]()
    for number, line in read_lines(tree.root / where):
        name, tab, text = line.partition("\t")
        if not tab:
            continue
        fate: Fate = "duplicate" if name in texts else "path" if name in stems else "left over"
        tally.add(fate, name, number)
        texts[name] = text
    account = tally.account(len(stems - texts.keys()))
    tree.tables.append(check_listed(tree.root / where, account, layout.max_left_over_rows))
    return texts
