"""A download that is one file, as it is or compressed by gzip, as if it were an archive of one member."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import IO

from wavlm.corpus.unpack.members import UNKNOWN, Member


def file_members(file: IO[bytes], format: str, name: str) -> Iterator[Member]:  # noqa: A002 - as in the spec
    """The one file. Its size is known at its end."""
    stream = gzip.GzipFile(fileobj=file) if format == "file.gz" else file
    yield Member(name, UNKNOWN, stream.read)
