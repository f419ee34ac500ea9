"""Globs over relative paths, as pathlib writes them, with two differences that corpora need.

- The letter case of the suffix does not matter: `**/*.flac` takes `a.FLAC`.
- Names are compared in Unicode's form NFC.

`**` stands for any number of folders, and at the end for everything below. Links are no matter of a glob: the paths
have been found before (`wavlm.corpus.layouts.walk`).
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from pathlib import PurePosixPath

from wavlm.corpus.layouts.names import normal

_SPECIAL = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_SUFFIX = re.compile(r"\.(?:[^.\[\]]|\[[^\]]*\])*$")  # the end of a name from its last dot, if that is not in brackets


@lru_cache(maxsize=64)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """A regular expression for `fullmatch` with a relative path in form NFC."""
    parts = PurePosixPath(normal(pattern)).parts
    text = "".join(_folder(part) for part in parts[:-1]) + _file(parts[-1] if parts else "**")
    return re.compile(text, re.DOTALL)


def fixed_folder(pattern: str) -> str:
    """The folder that a glob names without special characters, such as `speech/` of `speech/**/*.flac`; or nothing."""
    folders = PurePosixPath(normal(pattern)).parts[:-1]
    fixed = []
    for part in folders:
        if _SPECIAL.search(part):
            break
        fixed.append(part)
    return "".join(f"{part}/" for part in fixed)


def _folder(part: str) -> str:
    return "(?:[^/]+/)*" if part == "**" else f"{_name(part)}/"


def _file(part: str) -> str:
    if part == "**":
        return ".+"
    suffix = _SUFFIX.search(part)
    if suffix is None:
        return _name(part)
    return f"{_name(part[: suffix.start()])}(?i:{_name(suffix.group())})"


def _name(part: str) -> str:
    """One name: nothing in it stands for `/`."""
    return _TOKEN.sub(_token, part)


def _token(match: re.Match[str]) -> str:
    text = match.group()
    if text.startswith("*"):
        return "[^/]*"
    if text == "?":
        return "[^/]"
    if len(text) > 1:  # a class such as [a-z] or [!0-9]
        return "(?!/)" + fnmatch.translate(text).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")
    return re.escape(text)
