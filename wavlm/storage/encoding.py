"""The encoding of file names."""

from __future__ import annotations

import sys

from wavlm.errors import UsageError


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
