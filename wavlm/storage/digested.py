"""JSON files that carry their own digest, so that every change of them is noticed by those who read them.

The first field is `digest`: the sha256 of the file's bytes, with zeros where the digest itself stands.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavlm.storage.files import write_text

_ZEROS = b"0" * 64
_HEAD = re.compile(rb'\A\{\n  "digest": "([0-9a-f]{64})"')


@dataclass(frozen=True)
class Digested:
    """What such a file holds."""

    content: dict[str, Any]  # without the digest
    has_digest: bool  # False: written by a version that gave its files none


def write_digested(path: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON with sorted keys and its digest, atomically. NaN and infinity raise ValueError."""
    write_text(path, to_digested(content))


def to_digested(content: Mapping[str, Any]) -> str:
    """The text of such a file."""
    body = json.dumps(content, indent=2, sort_keys=True, allow_nan=False)
    text = f'{{\n  "digest": "{_ZEROS.decode()}",{body[1:]}\n'
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(_ZEROS.decode(), digest, 1)


def read_digested(path: Path) -> Digested:
    """The content of a file that is as it was written.

    Raises ValueError, saying what is wrong, for a file that was changed or is no JSON object. Raises OSError.
    """
    return parse_digested(path.read_bytes())


def parse_digested(blob: bytes) -> Digested:
    """The content of the bytes of such a file. Raises ValueError as `read_digested`."""
    has_digest = check_digest(blob)
    try:
        content = json.loads(blob)
    except (ValueError, RecursionError) as error:  # other bytes than UTF-8, no JSON, or too many brackets
        raise ValueError(f"this is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"found a {type(content).__name__}, expected an object")  # noqa: TRY004 - one kind of damage
    if has_digest:
        del content["digest"]
    return Digested(content, has_digest)


def check_digest(blob: bytes) -> bool:
    """Whether the bytes of such a file carry a digest; raises ValueError if it is another one than theirs."""
    head = _HEAD.match(blob)
    if head is None:
        return False
    whole = hashlib.sha256(blob[: head.start(1)])
    whole.update(_ZEROS)
    whole.update(memoryview(blob)[head.end(1) :])
    if whole.hexdigest().encode() != head[1]:
        raise ValueError(f"it was changed: its digest is {whole.hexdigest()}, it says {head[1].decode()}")
    return True
