"""Parse a YAML file into plain values, and remember the line and column of each field.

Whatever the file is, the answer comes at once and with little memory: only a regular file is read, its size is limited
before it is read, and depth and number of values while it is parsed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from wavlm.errors import UsageError

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_EVENTS = 30_000  # values and brackets; the parser needs about 1 s for them
MAX_DIGITS = 40

Loc = tuple[int | str, ...]  # the path of a field, e.g. ("iterations", 0, "network")

# The core schema of YAML 1.2, section 10.3.2: `no` is a text, 5e-4 a number.
_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class RecipeError(UsageError):
    """A YAML file is wrong. The message has one line per problem."""

    def __init__(self, *problems: str) -> None:
        """A problem reads `what happened; where`."""
        super().__init__("RECIPE", "\nRECIPE: ".join(f"{problem}; correct the file" for problem in problems))


@dataclass(frozen=True)
class Tree:
    """A parsed YAML file: a mapping of plain values, and where each value stands."""

    path: Path
    fields: dict[str, JsonValue]
    places: dict[Loc, str]  # `line:column`, both counted from 1

    def error(self, loc: Loc, message: str) -> RecipeError:
        return RecipeError(self.describe(loc, message))

    def describe(self, loc: Loc, message: str) -> str:
        name = ".".join(str(part) for part in loc) or "the whole file"
        return f"{message}; at {self.path}:{self._place(loc)}, {name}"

    def _place(self, loc: Loc) -> str:
        """Line and column of the deepest part of `loc` that the file has."""
        found: Loc = ()
        for part in loc:
            # pydantic adds the names of union members, which the file does not have.
            found = (*found, part) if (*found, part) in self.places else found
        return self.places.get(found, "1:1")


def parse_tree(path: Path) -> Tree:
    """Parse YAML 1.2; refuses anything but a small regular file of plain values. Raises RecipeError."""
    builder = _Builder(path, _bounded_events(path, _read_bounded(path)))
    try:
        fields = builder.document()
    except MarkedYAMLError as error:
        where = _place(error.problem_mark) if error.problem_mark else "1:1"
        raise RecipeError(f"this is not valid YAML: {error.problem}; at {path}:{where}") from error
    except YAMLError as error:
        raise RecipeError(f"this is not valid YAML: {' '.join(str(error).split())}; at {path}") from error
    if not isinstance(fields, dict):
        raise RecipeError(f"found {type(fields).__name__}, expected a mapping of fields; at {path}:1:1")
    return Tree(path, fields, builder.places)


def _read_bounded(path: Path) -> str:
    """The text of a regular file of at most MAX_FILE_BYTES. Nothing else is opened: a pipe would block."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "no file")
            raise RecipeError(f"found {kind}, expected a YAML file; at {path}")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise RecipeError(f"no such file, expected a YAML file of data_specs; at {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        what = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"the file cannot be read ({what}); at {path}") from error
    if len(content) > MAX_FILE_BYTES:
        raise RecipeError(f"found more bytes than {MAX_FILE_BYTES}, expected at most {MAX_FILE_BYTES}; at {path}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"byte {error.start} is no UTF-8, expected a text file; at {path}") from error


def _bounded_events(path: Path, text: str) -> Iterator[Event]:
    """The events of the parser, which is stopped at the first one that no recipe has."""
    depth = 0
    for number, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
        depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
        reason = None
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            reason = "found an anchor or alias, expected plain values"
        elif getattr(event, "tag", None):
            reason = "found a tag, expected plain values"
        elif depth > MAX_DEPTH:
            reason = f"found more than {MAX_DEPTH} nested levels, expected fewer"
        elif number > MAX_EVENTS:
            reason = f"found more than {MAX_EVENTS} values, expected fewer"
        if reason:
            raise RecipeError(f"{reason}; at {path}:{_place(event.start_mark)}")
        yield event


@dataclass
class _Builder:
    """Makes values of events, and notes where each begins."""

    path: Path
    events: Iterator[Event]
    places: dict[Loc, str] = field(default_factory=dict)

    def document(self) -> JsonValue:
        """The value of the one document; None for an empty file."""
        starts = (event for event in self.events if isinstance(event, DocumentStartEvent))
        if next(starts, None) is None:
            return None
        value = self._value((), next(self.events))
        if (second := next(starts, None)) is not None:
            raise self._error("found a second document, expected one", second)
        return value

    def _value(self, loc: Loc, event: Event) -> JsonValue:
        if isinstance(event, MappingStartEvent):
            return self._mapping(loc)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(loc)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        raise self._error("found no value, expected one", event)

    def _mapping(self, loc: Loc) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        while not isinstance(key := next(self.events), MappingEndEvent):
            if not isinstance(key, ScalarEvent):
                raise self._error("found a list or mapping as the name of a field, expected a text", key)
            name = self._text(key)
            if name in found:
                raise self._error(f"found a duplicate field {name!r}, expected each field once", key)
            self.places[*loc, name] = _place(key.start_mark)
            found[name] = self._value((*loc, name), next(self.events))
        return found

    def _sequence(self, loc: Loc) -> list[JsonValue]:
        found: list[JsonValue] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            self.places[*loc, len(found)] = _place(event.start_mark)
            found.append(self._value((*loc, len(found)), event))
        return found

    def _scalar(self, event: ScalarEvent) -> JsonValue:
        """A number, boolean or null if it is written plainly and reads like one; a text otherwise."""
        text = self._text(event)
        if event.style or not event.implicit[0]:  # quoted
            return text
        if _INT.fullmatch(text) or _BASED.fullmatch(text):
            if len(text) > MAX_DIGITS:
                raise self._error(f"found a number of {len(text)} digits, expected at most {MAX_DIGITS}", event)
            return int(text, 0 if _BASED.fullmatch(text) else 10)
        return _constant(text)

    def _text(self, event: ScalarEvent) -> str:
        text = str(event.value)
        if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
            raise self._error("found half of a surrogate pair, expected whole letters", event)
        return text

    def _error(self, message: str, event: Event) -> RecipeError:
        return RecipeError(f"{message}; at {self.path}:{_place(event.start_mark)}")


def _place(mark: Any) -> str:
    return f"{mark.line + 1}:{mark.column + 1}"


def _constant(text: str) -> JsonValue:
    if _NULL.fullmatch(text):
        return None
    if boolean := _BOOL.fullmatch(text):
        return boolean[1] is not None
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if _SPECIAL.fullmatch(text) else text
