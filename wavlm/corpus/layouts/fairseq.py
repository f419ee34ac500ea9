"""Layout of fairseq's manifests: a TSV whose first line is the folder of the audio, and the texts beside it.

`train.tsv` has a line `path<TAB>samples` per file, and line n of `train.wrd` or `train.ltr` is the text of its row n
(examples/wav2vec/wav2vec_manifest.py and libri_labels.py of fairseq).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from wavlm.corpus.layouts.manifests import read_listed
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import Entry, RowError, parse_rows
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.manifests import FairseqLayout

SPACE = "|"  # between two words in a `.ltr`, whose letters are separated by spaces


def read_fairseq(layout: FairseqLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of the paths. The number of samples is not used: lengths are measured."""
    has_root = bool(layout.audio_root)
    yield from read_listed(layout, tree, lambda path: _rows(path, has_root=has_root))


def _rows(path: Path, *, has_root: bool) -> Iterator[Entry]:
    lines = read_lines(path)
    _, root = next(lines, (1, ""))
    if "\t" in root or not root.strip():
        raise table_fault(path, 1, f"found {shorten(root)!r}", "expected the folder of the audio in the first line")
    folder = "" if has_root else f"{root.strip()}/"
    texts = _texts(path)

    def parse(line: int, row: tuple[str, str | None]) -> Iterable[Entry]:
        audio, tab, samples = row[0].partition("\t")
        if not tab or not samples.strip().isdecimal():
            raise RowError(f"found {shorten(row[0])!r}", "expected a path, a tab, and its number of samples")
        yield Entry(line, folder + audio, text=row[1])

    yield from parse_rows(path, _joined(path, lines, texts), parse)


def _joined(
    path: Path, lines: Iterator[tuple[int, str]], texts: tuple[Path, Iterator[tuple[int, str]]] | None
) -> Iterator[tuple[int, tuple[str, str | None]]]:
    """Each row with its text. Raises BadDataError (LAYOUT) if there are more rows or more texts."""
    rows = ((line, text) for line, text in lines if text.strip())
    if texts is None:
        yield from ((line, (row, None)) for line, row in rows)
        return
    beside, spoken = texts
    for row, text in zip_longest(rows, spoken):
        if row is None or text is None:
            line, has = (text[0], "a text") if text else (row[0] - 1, "a row")
            what = f"{has} stands alone: {path.name} and {beside.name} have different numbers of rows"
            raise table_fault(beside, line, what, "make both again, or remove the texts")
        yield row[0], (row[1], _words(text[1]) if beside.suffix == ".ltr" else text[1].strip())


def _texts(path: Path) -> tuple[Path, Iterator[tuple[int, str]]] | None:
    """The file of the texts of a manifest, and its lines."""
    for suffix in (".wrd", ".ltr"):
        beside = path.with_suffix(suffix)
        if beside.exists():
            return beside, read_lines(beside)
    return None


def _words(letters: str) -> str:
    return letters.replace(" ", "").replace(SPACE, " ").strip()
