"""An n-gram language model of a few transcripts, by interpolated Witten-Bell smoothing, as an ARPA file.

p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h)), where h' is h without its first word, c counts, and t(h) is the
number of different words after h (Chen and Goodman 1998, section 2.4). Below single words lies the uniform distribution
over all words, the end of a sentence and the unknown word. Interpolated models are exact in ARPA: the weight of a
context is t(h) / (c(h) + t(h)).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from wavlm.storage.files import write_text

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0  # the logarithm of what is never predicted
Gram = tuple[str, ...]


def write_arpa(path: Path, sentences: Sequence[Sequence[str]], order: int) -> None:
    """Count the n-grams of sentences, given as words, and write the model."""
    after = _count(sentences, order)
    words = sorted({word for sentence in sentences for word in sentence})
    probabilities = _interpolate(after, words)
    sections = []
    for length in range(1, order + 1):
        grams = sorted(gram for gram in probabilities if len(gram) == length)
        lines = [_line(gram, probabilities[gram], after, order) for gram in grams]
        sections.append("\n".join([f"\\{length}-grams:", *lines, ""]))
    counts = Counter(len(gram) for gram in probabilities)
    head = "\n".join(["\\data\\", *(f"ngram {length}={counts[length]}" for length in range(1, order + 1)), ""])
    write_text(path, "\n".join([head, *sections, "\\end\\", ""]))


def _count(sentences: Sequence[Sequence[str]], order: int) -> dict[Gram, Counter[str]]:
    """How often each word stands after each context; a context has up to `order` - 1 words."""
    after: dict[Gram, Counter[str]] = defaultdict(Counter)
    for sentence in sentences:
        tokens = (BEGIN, *sentence, END)
        for place in range(1, len(tokens)):
            for length in range(min(order - 1, place) + 1):
                after[tokens[place - length : place]][tokens[place]] += 1
    return after


def _interpolate(after: dict[Gram, Counter[str]], words: Sequence[str]) -> dict[Gram, float]:
    """The probability of each n-gram, shorter ones first, since longer ones stand on them."""
    uniform = 1.0 / (len(words) + 2)
    share = _share(after[()])
    found: dict[Gram, float] = {(word,): _mix(after[()], word, uniform) for word in (*words, END)}
    found |= {(UNKNOWN,): share * uniform, (BEGIN,): 0.0}
    for context in sorted(after, key=len):
        if context:
            found |= {
                (*context, word): _mix(after[context], word, found[*context[1:], word]) for word in after[context]
            }
    return found


def _mix(counts: Counter[str], word: str, below: float) -> float:
    return (counts[word] + len(counts) * below) / (counts.total() + len(counts))


def _share(counts: Counter[str]) -> float:
    """What a context leaves to shorter ones."""
    return len(counts) / (counts.total() + len(counts))


def _line(gram: Gram, probability: float, after: dict[Gram, Counter[str]], order: int) -> str:
    logarithm = math.log10(probability) if probability else NEVER
    line = f"{logarithm:.7f}\t{' '.join(gram)}"
    if len(gram) == order or gram[-1] in (END, UNKNOWN):
        return line
    return f"{line}\t{math.log10(_share(after[gram])) if gram in after else 0.0:.7f}"
