"""File names that are no text: their encoding, and how they are shown."""

from __future__ import annotations

import re
import sys

from wavlm.errors import UsageError

# Controls, bytes that are no UTF-8, and letters that cannot be seen, but not the joiners of Persian names and of emoji.
# A list and not str.isprintable, which depends on the version of Python: speakers' names pass here.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def require_utf8() -> None:
    """Raise UsageError (FILE_ENCODING) unless Python reads file names as UTF-8.

    With another encoding the same folder would have other keys.
    """
    found = sys.getfilesystemencoding()
    if found.lower().replace("-", "") != "utf8":
        raise UsageError(
            "FILE_ENCODING",
            f"file names are read as {found}, expected UTF-8; in the environment (LC_ALL, LANG, PYTHONUTF8); "
            "set LC_ALL=C.UTF-8 or PYTHONUTF8=1",
        )


def printable(name: str) -> str:
    """A name for messages and tables: invisible letters and bytes that are no UTF-8 as `\\x..`, the rest as it is."""
    return _UNPRINTABLE.sub(_show, name)


def _show(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
