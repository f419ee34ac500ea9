"""The language model of transcripts: each distribution sums to 1, and is the one that the formula gives."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest

from wavlm.evaluation.decoding.witten_bell import write_arpa

SENTENCES = [["a", "b", "a"], ["a", "b", "b"], ["c"], ["a", "b", "a"]]
WORDS = ("a", "b", "c", "</s>", "<unk>")


def read_arpa(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """Probability and weight of each n-gram, by the definition of the format."""
    found = {}
    for line in path.read_text().splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            weight = 10 ** float(fields[2]) if len(fields) > 2 else 1.0
            found[tuple(fields[1].split())] = (10 ** float(fields[0]), weight)
    return found


def probability(model: dict[tuple[str, ...], tuple[float, float]], context: tuple[str, ...], word: str) -> float:
    if (*context, word) in model:
        return model[*context, word][0]
    return model.get(context, (0.0, 1.0))[1] * probability(model, context[1:], word)


def witten_bell(context: tuple[str, ...], word: str) -> Fraction:
    """By the definition, with counts of the padded sentences made anew each time."""
    padded = [("<s>", *sentence, "</s>") for sentence in SENTENCES]
    size = len(context)
    runs = [item[n : n + size + 1] for item in padded for n in range(len(item) - size)]
    after = [run[-1] for run in runs if run[:-1] == context and run[-1] != "<s>"]
    below = witten_bell(context[1:], word) if context else Fraction(1, len(WORDS))
    if not after:
        return below
    return (after.count(word) + len(set(after)) * below) / (len(after) + len(set(after)))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_those_of_the_formula_and_sum_to_one(tmp_path: Path, order: int) -> None:
    write_arpa(tmp_path / "model.arpa", SENTENCES, order)
    model = read_arpa(tmp_path / "model.arpa")
    for context in itertools.product(("a", "b", "c"), repeat=order - 1):
        given = [probability(model, context, word) for word in WORDS]
        assert sum(given) == pytest.approx(1.0, abs=1e-5)
        assert given == pytest.approx([float(witten_bell(context, word)) for word in WORDS], rel=1e-5)


def test_what_begins_a_sentence_counts_as_such(tmp_path: Path) -> None:
    """Of four sentences three begin with `a` and one with `c`: (3 + 2 p(a)) / (4 + 2), where p(a) of single words."""
    write_arpa(tmp_path / "model.arpa", SENTENCES, 2)
    given = probability(read_arpa(tmp_path / "model.arpa"), ("<s>",), "a")
    assert given == pytest.approx((3 + 2 * float(witten_bell((), "a"))) / 6, rel=1e-5)
