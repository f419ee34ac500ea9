"""The summary of a finished training: written last, with the digests of all files that the training leaves."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.seals import sha256_as_it_is

FILES_FIELD = "files"

log = logging.getLogger(__name__)


def write_summary(path: Path, content: Mapping[str, Any], names: Iterable[str]) -> None:
    """Write a summary with the digests of those of the named files that are beside it."""
    files = {name: sha256_as_it_is(path.with_name(name)) for name in names if path.with_name(name).exists()}
    write_digested(path, {**content, FILES_FIELD: files})


def is_complete(path: Path, key: str, what: str) -> bool:
    """Whether a summary of this key is there, and it and the files that it names are as written. what: of the message.

    Raises OSError if a file cannot be read now, of which nobody knows whether it is as written.
    """
    try:
        found = read_digested(path).content
        files = found[FILES_FIELD].items()
        return found["key"] == key and all(sha256_as_it_is(path.with_name(name)) == digest for name, digest in files)
    except FileNotFoundError:
        return False
    except (IsADirectoryError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the summary of %s cannot be used, it is made again: %r; at %s", what, error, path)
        return False
