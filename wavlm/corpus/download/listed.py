"""Archives that a publisher's list names: their addresses and digests are in a file that is downloaded first.

GigaSpeech's `files.yaml` has a mapping per part (`metadata`, `audiobook`, `podcast`, `youtube`, `dict`) from paths to
md5s, as its publisher's own downloader reads it (PySpeechColab, `speechcolab/datasets/gigaspeech.py`). A path such as
`audio/podcast/P0001.tgz.aes` is one below the address of the list. It is unpacked into `audio/podcast/P0001`, and
`GigaSpeech.json.gz.aes` to `GigaSpeech.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from wavlm.errors import BadDataError
from wavlm.specs import Archive, HttpsSource
from wavlm.specs.tree import RecipeError, parse_tree

NOT_TAKEN = frozenset({"dict"})  # a dictionary and a model of pronunciation: no speech
_NAME = re.compile(r"(?P<to>.+)\.(?P<packed>tgz|gz)\.aes")


def with_listed(sources: Iterable[Archive], downloads: Path) -> tuple[Archive, ...]:
    """The sources, and behind each list the archives that it names, if the list was downloaded.

    Raises BadDataError (LAYOUT) for a list that is none.
    """
    found: list[Archive] = []
    for source in sources:
        found.append(source)
        if isinstance(source, HttpsSource) and source.lists == "gigaspeech":
            path = downloads / source.file_name
            found += _recall_list(source, path) if path.is_file() else ()
    return tuple(found)


@lru_cache(maxsize=8)  # thousands of archives; the name of the file is the digest of its content
def _recall_list(source: HttpsSource, path: Path) -> tuple[HttpsSource, ...]:
    return read_list(source, path)


def read_list(source: HttpsSource, path: Path) -> tuple[HttpsSource, ...]:
    """The archives that a list names. Raises BadDataError (LAYOUT) if it is none."""
    try:
        return tuple(_archives(source, path))
    except (RecipeError, ValidationError, ValueError) as error:
        raise BadDataError(
            "LAYOUT",
            f"this is no list of archives as GigaSpeech's publisher makes them: {error}; at {path}; open its address "
            "in a browser: it may have moved",
        ) from error


def _archives(source: HttpsSource, path: Path) -> Iterator[HttpsSource]:
    above = [url.rpartition("/")[0] for url in source.urls]
    for part, listed in parse_tree(path).fields.items():
        if part in NOT_TAKEN:
            continue
        if not isinstance(listed, dict):
            raise ValueError(f"{part} is no mapping of paths to md5s")  # noqa: TRY004 - a wrong value of a file
        for name, md5 in listed.items():
            yield _archive([f"{url}/{name}" for url in above], name, md5)


def _archive(urls: list[str], name: str, md5: Any) -> HttpsSource:
    packed = _NAME.fullmatch(name)
    if packed is None:
        raise ValueError(f"found {name!r}, expected the name of an encrypted archive, as in P0001.tgz.aes")
    fields = {
        "type": "https",
        "urls": tuple(urls),
        "md5": md5,
        "format": "tar.gz" if packed["packed"] == "tgz" else "file.gz",
        "to": str(PurePosixPath(packed["to"])),
        "encryption": "openssl-aes-256-cbc",
    }
    return HttpsSource.model_validate(fields)
