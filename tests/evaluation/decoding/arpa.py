"""A bigram model of three words, written by hand: `cat` follows the beginning, `cut` nearly never does."""

from __future__ import annotations

from pathlib import Path

BIGRAMS = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-99\t<s>\t-0.3
-1\t</s>
-3\t<unk>
-0.7\tCAT\t-0.3
-0.7\tCUT\t-0.3
-1.0\tSAT\t-0.3

\\2-grams:
-0.1\t<s> CAT
-2.5\t<s> CUT
-0.2\tCAT SAT
-0.2\tSAT </s>

\\end\\
"""


def write_bigrams(folder: Path) -> Path:
    path = folder / "three.arpa"
    path.write_text(BIGRAMS)
    return path
