"""Slots as symbols of a transcript: a mark before and behind each value, as SUPERB's reference writes them.

"SET AN ALARM AT SEVEN" with the slot (time, SEVEN) is written as its letters with B-time before and E-time behind the
value (s3prl, downstream/ctc/corpus: snips, and its metric `slot_type_f1`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavlm.errors import BadDataError
from wavlm.evaluation.labelled import Row, require
from wavlm.evaluation.metrics.intervals import interval_of_sums
from wavlm.evaluation.metrics.slots import count_value_edits, slot_type_f1
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.results.figures import figure_of, rate_of_edits

BEGIN, END = "B-", "E-"  # a symbol of more than one character is a mark


def mark_slots(text: str, row: Row, corpus: str, letters: str) -> list[str]:
    """The characters of a text, with marks around the values of its slots, which stand in it in this order.

    Raises BadDataError (TARGET_BAD) for a slot that is no pair of texts, or whose value the text does not have.
    """
    symbols: list[str] = []
    place = 0
    slots = require(row, "slots", corpus)
    for slot in slots if isinstance(slots, list) else [slots]:
        if not (isinstance(slot, list) and len(slot) == 2 and all(isinstance(part, str) for part in slot)):
            raise _refuse(row, corpus, f"the slot {slot!r} is no pair of name and value")
        name, value = str(slot[0]), str(slot[1])
        value = {"as_written": value, "lower": value.lower(), "upper": value.upper()}[letters]
        begin = text.find(value, place)
        if not value or begin < 0:
            raise _refuse(row, corpus, f"the value {value!r} of the slot {name} is not in {text[place:]!r}")
        symbols += [*text[place:begin], BEGIN + name, *value, END + name]
        place = begin + len(value)
    return [*symbols, *text[place:]]


def read_slots(symbols: Sequence[str]) -> list[tuple[str, str]]:
    """The slots in a sequence of symbols: of each begin mark, what stands before its end, another mark or the end."""
    found: list[tuple[str, str]] = []
    name, value = "", ""
    for symbol in (*symbols, END):
        if len(symbol) > 1:
            if name:
                found.append((name, " ".join(value.split())))
            name, value = (symbol.removeprefix(BEGIN), "") if symbol.startswith(BEGIN) else ("", "")
        elif name:
            value += symbol
    return found


def score_slots(
    references: Sequence[Sequence[str]], found: Sequence[Sequence[str]], speakers: Sequence[str] | None
) -> tuple[Figure, ...]:
    """F1 of slot types, the mean over utterances, and character error rate of slot values.

    speakers: None leaves intervals out.
    """
    wanted, written = ([read_slots(item) for item in every] for every in (references, found))
    f1 = slot_type_f1(wanted, written)
    numbers = np.stack([f1, np.ones(len(f1))], axis=1)
    interval = (
        interval_of_sums(numbers, speakers, lambda sums: sums[:, 0] / sums[:, 1]) if speakers and len(f1) > 1 else None
    )
    return (
        figure_of("slot_type_f1", float(f1.mean()), interval),
        rate_of_edits("slot_value_cer", count_value_edits(wanted, written), speakers),
    )


def _refuse(row: Row, corpus: str, what: str) -> BadDataError:
    return BadDataError("TARGET_BAD", f"{what}; of {row.key} in the corpus {corpus}; correct its slots")
