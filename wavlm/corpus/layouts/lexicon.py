"""Lexicons of pronunciations: a line `<word> <phone> <phone> ...` per word, as librispeech-lexicon.txt has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from wavlm.corpus.layouts.listed import find_list
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable

SHOWN_WORDS = 10


class Lexicon:
    """The pronunciation of each word: of several, the first one of the first file, as SUPERB takes it.

    Source: `s3prl/downstream/ctc/corpus/libriphone.py`.
    """

    def __init__(self, tree: Tree, names: Sequence[str]) -> None:
        """`names`: files below the folder. Raises BadDataError (LAYOUT) if one is not there, or has a word alone."""
        self._files = [find_list(tree, name) for name in names]
        self._unknown: Counter[str] = Counter()
        self._phones: dict[str, tuple[str, ...]] = {}
        for file in self._files:
            self._read(tree, file)

    def target(self, text: str | None) -> str | None:
        """The target with the phones of a text; None without lexicons or without a text. Unknown words are noted."""
        if not self._files or not text or not text.strip():
            return None
        words = text.split()
        self._unknown.update(word for word in words if word not in self._phones)
        phones = [phone for word in words for phone in self._phones.get(word, ())]
        return make_target(phones=phones or None)

    def check(self) -> None:
        """Raise BadDataError (LAYOUT) if texts have had words that no file has: their phones would be left out."""
        if self._unknown:
            shown = ", ".join(shorten(word) for word in sorted(self._unknown)[:SHOWN_WORDS])
            where = printable(", ".join(map(str, self._files)))
            raise BadDataError(
                "LAYOUT",
                f"{len(self._unknown)} words of the texts are in no lexicon: {shown}; in {where}; name a lexicon that "
                "has them, too, such as one that was made by a grapheme-to-phoneme model",
            )

    def _read(self, tree: Tree, file: PurePosixPath) -> None:
        for number, line in read_lines(tree.root / file):
            word, *phones = line.split() or [""]
            if not word:
                continue
            if not phones:
                raise table_fault(tree.root / file, number, f"no phones of {shorten(word)}", "correct the line")
            self._phones.setdefault(word, tuple(phones))
