"""Lists of generations that are not beside their corpus spec: they come back from the newest corpus in the store.

A project that is checked out anew, or whose specs were copied without the folders beside them, would build everything
again. The corpus in the store holds all that the list says.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavlm.errors import BadDataError, CannotWriteError
from wavlm.pipeline.artifacts import Corpus, generation_of
from wavlm.pipeline.record import read_field
from wavlm.pipeline.resolve import revisions_of
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, FolderSource, HoldOut

logger = logging.getLogger(__name__)

MOST_FILES = 200  # that are looked for, to tell that a corpus in the store is one of this folder


def restore_list(spec: CorpusSpec, store: Store) -> bool:
    """Write the list of a corpus anew if it is not there, and if the store has a corpus of the same folder and spec.

    One that cannot be written is a warning. Raises BadDataError (GENERATIONS_DAMAGED) for a list that is there.
    """
    found = find_lost(spec, store)
    if found is None:
        return False
    from wavlm.corpus.growth.write import write_list

    then, folder = found
    try:
        written = write_list(then, folder)
    except CannotWriteError as error:
        logger.warning("%s: its list of generations is lost: %s", spec.name, error)
        return False
    if written:
        logger.warning("%s: its list of generations was lost, and is taken from %s", spec.name, folder)
    return written is not None


def find_lost(spec: CorpusSpec, store: Store) -> tuple[CorpusSpec, Path] | None:
    """What a lost list can be taken from: a corpus as it was made, and its folder. None: nothing is lost."""
    source = spec.folder
    if source is None or source.content is not None:
        return None
    from wavlm.corpus.growth.generations import list_folder, read_list

    if list_folder(spec) is None or read_list(spec) is not None:
        return None
    return max(_candidates(spec, source, store), key=lambda item: generation_of(Corpus(item[0])) or 0, default=None)


def _candidates(spec: CorpusSpec, source: FolderSource, store: Store) -> Iterator[tuple[CorpusSpec, Path]]:
    """Corpora of this name that were made for the same spec, of files that the folder has; the newest first."""
    from wavlm.corpus.growth.generations import made_for
    from wavlm.corpus.manifest import FORMAT

    wanted = made_for(spec)
    for folder in revisions_of(spec, store):
        try:
            identity: Any = read_field(folder, "identity")
            made = dict(identity["spec"])
            (pinned,) = made.pop("sources")
            rule = made.pop("valid_rule", None)
            same_kind = identity["format"] == Corpus.format and {**made, "manifest": FORMAT} == wanted
            if same_kind and _has_its_files(Path(source.path), folder):
                update = {"content": pinned["content"], "grown": tuple(pinned.get("grown", ()))}
                then = {
                    "sources": (source.model_copy(update=update),),
                    "valid_rule": HoldOut.model_validate(rule) if rule else None,
                }
                yield spec.model_copy(update=then), folder
        except (BadDataError, KeyError, ValueError, TypeError):
            continue  # `status` names a record that is broken


def _has_its_files(speech: Path, corpus_dir: Path) -> bool:
    """Whether a folder holds a file that a corpus was made of, of the same size."""
    from wavlm.corpus.growth.files import FILES, stream_files

    path = corpus_dir / FILES
    if not path.is_file():
        return False
    last = deque((item for item in stream_files(path) if item.until is None), MOST_FILES)
    return any(_size_of(speech / item.path) == item.size for item in last)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None
