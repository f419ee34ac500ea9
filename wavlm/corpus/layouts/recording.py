"""What a layout reader returns: recordings with key and speaker, and with text and phones if they are known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from wavlm.errors import BadDataError

# What soundfile or PyAV can decode.
AUDIO_SUFFIXES = frozenset({".flac", ".wav", ".ogg", ".opus", ".mp3", ".g722", ".aiff", ".aif", ".sph", ".m4a"})
UNKNOWN_SPEAKER = "unknown"
MAX_KEY_LETTERS = 200  # a tar member's name with its ending stays below 255

_PLAIN = re.compile(r"[A-Za-z0-9-]")
_ESCAPED = re.compile(r"__|_x[0-9a-f]{2}|.", re.DOTALL)
_LIKE_HEX = re.compile(r"x[0-9a-f]{2}")


class Phone(NamedTuple):
    """A timed phone segment of a recording, in seconds from its start."""

    start_s: float
    end_s: float
    phone: str


@dataclass(frozen=True)
class Recording:
    """An audio file of a corpus. `path` is relative to the folder that was read."""

    key: str
    path: PurePosixPath
    speaker: str
    text: str | None = None
    phones: tuple[Phone, ...] | None = None
    split: str | None = None  # `train`, `valid` or `test`, if the publisher says it


def key_of(name: str) -> str:
    """A key `[A-Za-z0-9_-]+` for a relative path without suffix. `name_of` is the inverse.

    Letters, digits and `-` stay. `/` becomes `__`. Any other byte becomes `_x` and two hex digits. `_` stays,
    too, but becomes `_x5f` where it could be mistaken for one of these. Examples: `digits/1` has the key
    `digits__1`; LibriSpeech names are equal to their keys.
    Raises BadDataError (KEY_BAD) for an empty key or one above 200 characters.
    """
    key = "".join(_escape(name, index) for index in range(len(name)))
    if not key or len(key) > MAX_KEY_LETTERS:
        raise BadDataError(
            "KEY_BAD",
            f"a key of {len(key)} letters, expected 1 to {MAX_KEY_LETTERS}; for {name!r}; shorten the path",
        )
    return key


def name_of(key: str) -> str:
    """The relative path from which `key_of` made this key."""
    return b"".join(_unescape(match.group()) for match in _ESCAPED.finditer(key)).decode()


def audio_files(root: Path, pattern: str) -> Iterator[PurePosixPath]:
    """Audio files below a folder that match a glob, in the order of their paths, without hidden files."""
    found = (
        PurePosixPath(path.relative_to(root).as_posix())
        for path in root.glob(pattern)
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    )
    return iter(
        sorted(
            (path for path in found if not any(part.startswith(".") for part in path.parts)),
            key=str,
        )
    )


def _escape(name: str, index: int) -> str:
    letter = name[index]
    if _PLAIN.fullmatch(letter):
        return letter
    if letter == "/":
        return "__"
    following = name[index + 1 : index + 2]
    unambiguous = not following or _PLAIN.fullmatch(following)
    if letter == "_" and unambiguous and not _LIKE_HEX.match(name, index + 1):
        return "_"
    return "".join(f"_x{byte:02x}" for byte in letter.encode())


def _unescape(piece: str) -> bytes:
    if piece == "__":
        return b"/"
    return bytes.fromhex(piece[2:]) if len(piece) == 4 else piece.encode()
