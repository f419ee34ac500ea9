"""A prediction that was decoded twice, as predictions.parquet keeps it: greedily, and with a language model."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

GREEDY, LEXICON = "greedy", "lexicon"
WITH_MODEL = "_lm"  # ends the names of figures of the second


def write_both(greedy: Sequence[str], words: Sequence[str]) -> JsonValue:
    """The prediction of both results, each as its symbols."""
    return {GREEDY: list[JsonValue](greedy), LEXICON: list[JsonValue](words)}


def is_both(prediction: object) -> bool:
    """Whether there are two results."""
    return isinstance(prediction, dict)


def read_symbols(prediction: object, which: str = GREEDY) -> list[str]:
    """The symbols of one of both results, or of the only one."""
    found = prediction.get(which) if isinstance(prediction, dict) else prediction
    return [str(symbol) for symbol in found] if isinstance(found, list) else []
