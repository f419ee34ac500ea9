"""The target of a recording: what an evaluation's task has to predict, as one JSON object in its canonical form.

| name | value |
|---|---|
| class | one name, such as a word, an emotion or an intent |
| intent | an object of names: slot to value |
| text | the words, where they are not the text of the manifest |
| phones | a list of names |
| slots | a list of [slot, value], in the order of the words |
| turns | a list of [start, end, speaker], seconds from the start of the recording |
| scored | a list of [start, end]: the only stretches that are scored |
| sources | a list of keys: the recordings that this one is a mixture of |
| clean | a key: the recording of the same speech without noise |
| translation | the text in another language |

Other names may hold any JSON. Values of these names are checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from wavlm.corpus.layouts.json_lines import load_object
from wavlm.corpus.layouts.rows import RowError
from wavlm.corpus.layouts.table import shorten


def make_target(**fields: object) -> str | None:
    """The target with these fields; `class_` is spelled `class`. Fields that are None are left out.

    None if no field is left. Raises RowError for a value that its name does not allow.
    """
    named = {name.rstrip("_"): value for name, value in fields.items() if value is not None}
    return canonical_target(named) if named else None


def add_class(text: str, name: str = "") -> str | None:
    """The target that somebody wrote as JSON, and a class; None if both are empty.

    Raises RowError if the text is no object or holds a wrong value, and for a second class.
    """
    found = load_object(text) if text else {}
    if name and found.setdefault("class", name) != name:
        raise RowError(f"the class is {shorten(name)!r}, that of the target {shorten(str(found['class']))!r}")
    return canonical_target(found) if found else None


def canonical_target(fields: Mapping[str, object]) -> str:
    """Names in order, no spaces, letters as they are. Raises RowError for a wrong value."""
    _check(fields)
    try:
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RowError(f"a target that JSON cannot hold: {error}") from error


def _check(fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        found = _FORMS.get(name)
        if found is not None and not found[0](value):
            raise RowError(f"{name} is {shorten(repr(value))}", f"expected {found[1]}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_names(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_name, value))


def _is_intent(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_name, (*value, *value.values())))


def _is_slots(value: object) -> bool:
    return isinstance(value, list | tuple) and all(_is_names(item) and len(item) == 2 for item in value)


def _is_turns(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(item, list | tuple) and len(item) == 3 and _is_stretch(item[:2]) and _is_name(item[2])
        for item in value
    )


def _is_scored(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_stretch, value))


def _is_stretch(value: object) -> bool:
    """Whether a value is a start and a later end in seconds."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    numbers = [item for item in value if isinstance(item, int | float) and not isinstance(item, bool)]
    return len(numbers) == 2 and 0 <= numbers[0] < numbers[1] < math.inf


_A_NAME, _NAMES = "a text that is not empty", "a list of texts that are not empty"
_FORMS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "class": (_is_name, _A_NAME),
    "intent": (_is_intent, "an object of texts that are not empty"),
    "text": (_is_name, _A_NAME),
    "phones": (_is_names, _NAMES),
    "slots": (_is_slots, "a list of [slot, value]"),
    "turns": (_is_turns, "a list of [start, end, speaker] with 0 <= start < end in seconds"),
    "scored": (_is_scored, "a list of [start, end] with 0 <= start < end in seconds"),
    "sources": (_is_names, _NAMES),
    "clean": (_is_name, _A_NAME),
    "translation": (_is_name, _A_NAME),
}
