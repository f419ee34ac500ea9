"""Sources that one entry of a corpus spec stands for: `en_{2009..2020}.tar` is twelve archives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from wavlm.specs.base import FieldError
from wavlm.specs.sources import HttpsSource, Source

MOST = 10_000  # sources of one entry
_RANGE = re.compile(r"\{([0-9]{1,12})\.\.([0-9]{1,12})\}")


def expand_sources(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The sources with each range of numbers written out. Raises FieldError."""
    return tuple(one for number, source in enumerate(sources) for one in _expand(source, number))


def _expand(source: Source, number: int) -> Iterator[Source]:
    if not isinstance(source, HttpsSource) or not any("{" in text for text in (*source.urls, source.to)):
        yield source
        return
    if source.is_known or source.size_bytes or source.published_gigabytes:
        raise FieldError("numbers in braces are many files, but the digest or size here is that of one", number, "urls")
    ranges = {_only_range(text, number) for text in source.urls}
    if source.to and "{" in source.to:
        ranges.add(_only_range(source.to, number))
    if len(ranges) > 1:
        raise FieldError("all addresses of a source, and `to`, must have the same numbers in braces", number, "urls")
    for text in _numbers(*ranges.pop(), number):
        urls = tuple(_RANGE.sub(text, url) for url in source.urls)
        yield source.model_copy(update={"urls": urls, "to": _RANGE.sub(text, source.to)})


def _only_range(text: str, number: int) -> tuple[str, str]:
    found = _RANGE.findall(text)
    if len(found) != 1 or text.count("{") != 1:
        raise FieldError(f"found {text!r}, expected two numbers in braces, as in {{2009..2020}}", number, "urls")
    return str(found[0][0]), str(found[0][1])


def _numbers(first: str, last: str, number: int) -> Iterator[str]:
    count = int(last) - int(first) + 1
    if not 0 < count <= MOST:
        raise FieldError(f"{{{first}..{last}}} are {count} files, expected 1 to {MOST}", number, "urls")
    for value in range(int(first), int(last) + 1):
        yield f"{value:0{len(first)}d}" if first.startswith("0") else str(value)
