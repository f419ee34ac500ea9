"""Read the recordings of a corpus from the files that were gathered, and check what was found."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wavlm.corpus.archives import AUDIO, Files
from wavlm.corpus.containers import account_containers
from wavlm.corpus.contents import FolderContents
from wavlm.corpus.layouts import Reading, Recording, check_files, describe_losses, read_layout
from wavlm.corpus.layouts.names import find_spelled
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec
from wavlm.storage.encoding import printable

logger = logging.getLogger(__name__)


def read_corpus(spec: CorpusSpec, files: Files) -> Reading:
    """What the layout finds in the folder, or in what was unpacked. Losses that are allowed are logged.

    Raises BadDataError (DUP_KEY, LAYOUT, FILE_CHANGED), and what `wavlm.corpus.layouts.check_files` raises.
    """
    reading = _read(spec, files)
    if files.contents:
        _check_tables(files.contents, reading)
    check_files(reading.files, spec.max_left_out, spec.name, files.root)
    _check_keys(reading.recordings, files.root)
    for line in describe_losses(reading.files, reading.tables):
        logger.warning("%s: %s", spec.name, line)
    return reading


def _read(spec: CorpusSpec, files: Files) -> Reading:
    """What the layout finds in the folder, or in what was unpacked."""
    if files.in_place:
        return read_layout(spec.layout, files.in_place.root)
    if files.contents is None:
        reading = read_layout(spec.layout, files.root, files.left)
        _refuse_outside(spec, reading)
        return reading
    reading = read_layout(spec.layout, files.root / AUDIO)
    recordings = tuple(replace(item, path=AUDIO / item.path) for item in reading.recordings)
    account = account_containers(spec.layout, files.contents.root, reading.files)
    return replace(reading, recordings=recordings, files=account)


def _refuse_outside(spec: CorpusSpec, reading: Reading) -> None:
    """Raise BadDataError (LAYOUT) if a manifest of an archive names other files: nothing would pin these."""
    for item in reading.recordings:
        if item.path.is_absolute() or ".." in item.path.parts:
            raise BadDataError(
                "LAYOUT",
                f"a manifest names {printable(str(item.path))}, which is not in the archives of {spec.name}; in the "
                "corpus spec; unpack the archives by hand, and name their folder as the source",
            )


def _check_tables(contents: FolderContents, reading: Reading) -> None:
    """Check that the tables are part of the folder's content, and are as they were when it was read."""
    for table in reading.tables:
        path = find_spelled(contents.root, table.table)
        name = str(path.relative_to(contents.root))
        if name not in contents.states:
            raise BadDataError(
                "LAYOUT",
                f"a table is hidden, or behind a link that is not followed: a change of it would not be seen; at "
                f"{path}; move it to a folder of the corpus that is not hidden",
            )
        contents.sha256_of(name)


def _check_keys(recordings: Sequence[Recording], root: Path) -> None:
    counts = Counter(recording.key for recording in recordings)
    twice = sorted(key for key, count in counts.items() if count > 1)
    if twice:
        paths = ", ".join(printable(str(item.path)) for item in recordings if item.key == twice[0])
        raise BadDataError(
            "DUP_KEY",
            f"{len(twice)} keys name several files each, for example {twice[0]}: {paths}; in {root}; "
            "narrow the layout in the corpus spec",
        )
