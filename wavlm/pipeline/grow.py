"""Bring the list of generations of a corpus to what its folder holds, or let a new list begin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wavlm.errors import BadDataError, UsageError
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.lost_lists import restore_list
from wavlm.pipeline.one_look import one_look
from wavlm.pipeline.resolve import contents_cache, corpora_of, read_folder, resolve_corpus
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec
from wavlm.specs.tree import parse_tree
from wavlm.specs.yaml import find_recipe, read_corpus, read_recipe

if TYPE_CHECKING:  # its libraries are imported where there is a folder
    from wavlm.corpus.growth.generations import GenerationList


def read_growing(path: Path) -> tuple[CorpusSpec, ...]:
    """The corpora of a corpus spec or of a recipe that grow: folders whose content is not pinned.

    Raises RecipeError, and UsageError (NOTHING_FITS) if there is none.
    """
    is_corpus = path.is_file() and "sources" in parse_tree(path).fields
    specs = (read_corpus(path),) if is_corpus else corpora_of(read_recipe(path))
    growing = tuple(spec for spec in specs if spec.folder and spec.folder.content is None)
    if not growing:
        what = "archives, or its `content` is pinned" if is_corpus else "archives, or their `content` is pinned"
        raise UsageError(
            "NOTHING_FITS",
            f"no corpus grows: {', '.join(spec.name for spec in specs)} is made of {what}; at {find_recipe(path)}; "
            "name a corpus that is a folder",
        )
    return growing


def grow(
    spec: CorpusSpec, store: Store, progress: Progress = no_progress, stall_seconds: float = STALL_SECONDS
) -> GenerationList | None:
    """Make the corpus of what a folder holds now, and bring its list of generations there. Returns the list.

    None: the corpus spec lies in the folder of the speech, so that there can be no list beside it.
    Raises what the corpus stage raises.
    """
    from wavlm.corpus.build import grow_corpus
    from wavlm.corpus.growth.generations import read_list
    from wavlm.corpus.growth.write import refuse_closed, write_list

    refuse_closed(spec)
    restore_list(spec, store)
    with one_look():
        read_folder(spec, store, progress, stall_seconds)
        corpus = Corpus(resolve_corpus(spec, store))
    cache = contents_cache(corpus.spec, store)
    store.make(
        corpus, lambda out: grow_corpus(corpus.spec, store.downloads, out, progress, cache, stall_seconds), progress
    )
    write_list(corpus.spec, store.path(corpus))  # the corpus may be older than the list
    return read_list(corpus.spec)


def compact(spec: CorpusSpec) -> GenerationList | None:
    """Let the next run begin a new list of generations, in which all that there is is the first one.

    Returns the old list, which is kept aside; None if it is damaged. Raises UsageError (NOTHING_FITS) if there is none.
    """
    from wavlm.corpus.growth.generations import read_list
    from wavlm.corpus.growth.write import begin_anew

    try:
        found = read_list(spec)
        if found is not None and found.latest:
            begin_anew(spec, found)
            return found
    except BadDataError as error:
        if error.code != "GENERATIONS_DAMAGED":
            raise
        begin_anew(spec, None)
        return None
    place = spec.folder.generations if spec.folder else ""
    raise UsageError("NOTHING_FITS", f"{spec.name} has no list of generations; in {place}; leave --compact out")
