"""Names of files: the key of a path and back, the path as text that every format holds, and how names are compared.

A name on Linux is any bytes without `/` and NUL. Python shows bytes that are no UTF-8 as lone surrogates
(`os.fsdecode`, PEP 383), which no text format can hold.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote_from_bytes, unquote_to_bytes

from wavlm.corpus.layouts.sounds import without_suffix
from wavlm.errors import BadDataError

MAX_KEY_LETTERS = 200  # a tar member's name with its ending stays below 255
DIGEST_MARK = "_x00"  # no file name has a NUL, so this stands in no key that was made from a path alone
DIGEST_LETTERS = 32  # 128 bits of the sha256

_PLAIN = re.compile(r"[A-Za-z0-9-]")
_SPECIAL = re.compile(r"[^A-Za-z0-9-]")
_LETTER = re.compile(r".", re.DOTALL)
_PIECES = re.compile(r"__|_x[0-9a-f]{2}|.", re.DOTALL)
_LIKE_HEX = re.compile(r"x[0-9a-f]{2}")
_BYTES = "bytes:"


def key_of(name: str) -> str:
    """A key `[A-Za-z0-9_-]+` of at most 200 letters for a relative path without suffix.

    Letters, digits and `-` stay. `/` becomes `__`. Any other byte becomes `_x` and two hex digits. `_` stays,
    too, but becomes `_x5f` where it could be mistaken for one of these. Examples: `digits/1` has the key
    `digits__1`; LibriSpeech names are equal to their keys. Two names have two keys. `name_of` is the inverse.
    A longer key is cut and gets `_x00` and a digest of the name. It has no inverse: the manifest has the path.
    Raises BadDataError (KEY_BAD) for an empty name.
    """
    if not name:
        raise BadDataError("KEY_BAD", "a file has an empty name; in the layout; give the file a name")
    key = _SPECIAL.sub(_escape, name)
    if len(key) <= MAX_KEY_LETTERS:
        return key
    digest = hashlib.sha256(_to_bytes(name)).hexdigest()[:DIGEST_LETTERS]
    return f"{_start(name, MAX_KEY_LETTERS - len(DIGEST_MARK) - DIGEST_LETTERS)}{DIGEST_MARK}{digest}"


def keys_of(paths: Sequence[PurePosixPath]) -> list[str]:
    """A key for each of different paths: of the path without suffix, but with it where two would have one key."""
    return [key_of(name) for name in names_of(paths)]


def names_of(paths: Sequence[PurePosixPath]) -> list[str]:
    """A name for each of different paths: the path without suffix, but with it where two would have one name."""
    names = [without_suffix(path) for path in paths]
    while twice := {name for name, count in Counter(names).items() if count > 1}:
        names = [str(path) if name in twice else name for path, name in zip(paths, names, strict=True)]
    return names


def name_of(key: str) -> str:
    """The relative path from which `key_of` made this key. Raises ValueError for a key that holds a digest."""
    pieces = _PIECES.findall(key)
    if DIGEST_MARK in pieces:
        raise ValueError(f"the key {key} holds a digest of its name; the manifest has the path")
    return b"".join(_unescape(piece) for piece in pieces).decode("utf-8", "surrogateescape")


def normal(name: str) -> str:
    """A name as it is compared: in Unicode's form NFC. macOS stores `é` as two characters, tables hold one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def find_spelled(root: Path, name: str) -> Path:
    """The path of a file that a spec names, spelled as on the disk. It need not exist."""
    path = root
    for part in PurePosixPath(name).parts:
        if not os.path.lexists(path / part) and path.is_dir() and os.access(path, os.R_OK):
            part = next((entry for entry in os.listdir(path) if normal(entry) == normal(part)), part)  # noqa: PLW2901, PTH208
        path = path / part
    return path


def path_to_text(path: str) -> str:
    """A path as text for a manifest: as it is, or `bytes:` and percent escapes if it is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _BYTES + quote_from_bytes(_to_bytes(path))
    return path if not path.startswith(_BYTES) else _BYTES + quote_from_bytes(path.encode())


def path_from_text(text: str) -> str:
    """The path that `path_to_text` was given."""
    return os.fsdecode(unquote_to_bytes(text.removeprefix(_BYTES))) if text.startswith(_BYTES) else text


def _escape(match: re.Match[str]) -> str:
    letter, name, end = match.group(), match.string, match.end()
    if letter == "/":
        return "__"
    following = name[end : end + 1]
    unambiguous = not following or _PLAIN.fullmatch(following)
    if letter == "_" and unambiguous and not _LIKE_HEX.match(name, end):
        return "_"
    return "".join(f"_x{byte:02x}" for byte in _to_bytes(letter))


def _start(name: str, letters: int) -> str:
    """The first part of a key, cut between two characters. It does not end in `_`, which would break the mark."""
    start = ""
    for match in _LETTER.finditer(name):
        piece = match.group() if _PLAIN.fullmatch(match.group()) else _escape(match)
        if len(start) + len(piece) > letters:
            break
        start += piece
    return start.rstrip("_")


def _unescape(piece: str) -> bytes:
    if piece == "__":
        return b"/"
    return bytes.fromhex(piece[2:]) if len(piece) == 4 else piece.encode()


def _to_bytes(name: str) -> bytes:
    """The bytes of a name. Any str has some: lone surrogates that stand for no byte are encoded as themselves."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
