"""Look again, just before something is deleted: between the look and the deletion minutes pass, and others work."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from wavlm.pipeline.garbage.kept import Kept, find_registrations, holds, key_of_folder, lineage_of, protected_by
from wavlm.pipeline.garbage.notes import Remembered, read_notes
from wavlm.pipeline.garbage.survey import Item, Survey, What
from wavlm.pipeline.store import Store
from wavlm.storage.holders import find_owner

_WHOLE = (What.UNFINISHED, What.GENERATIONS)


def find_use(item: Item, store: Store, kept: Kept) -> str | None:
    """Why an item may no longer go: what was run, begun or registered since `kept` was found; None if nothing was.

    Reads the store anew. The locks of the item are to be held meanwhile.
    """
    if item.what is What.TRASH:
        return None
    if item.what is What.FEATURES:
        return Survey(store, kept).find_evaluating()
    looks = [_noted(item, store, kept)]
    if item.what in _WHOLE and item.path.parent != store.downloads:
        survey = Survey(store, kept)
        looks += [_registered(item, survey), _made_from(item, survey)]
    return next(chain.from_iterable(looks), None)


def _noted(item: Item, store: Store, kept: Kept) -> Iterator[str]:
    for note in read_notes(store):
        if note not in kept.notes and _wants(note, item, store):
            yield f"{note.path} was run with this store meanwhile"


def _registered(item: Item, survey: Survey) -> Iterator[str]:
    key = key_of_folder(item.path)
    for folder, facts in find_registrations(survey.store):
        is_new = key_of_folder(folder) not in survey.kept.registered
        if is_new and key in protected_by(folder, survey.folders):
            yield f"{facts.name}:{facts.version} was registered meanwhile"


def _made_from(item: Item, survey: Survey) -> Iterator[str]:
    key = key_of_folder(item.path)
    for folder in survey.begun:
        if folder != item.path and (owner := find_owner(survey.lock_of(folder))):
            is_unwanted = item.what is What.GENERATIONS and key_of_folder(folder) not in survey.kept.reasons
            if is_unwanted or key in lineage_of(folder, survey.folders):
                yield f"{owner} makes {survey.name_of(folder)}"


def _wants(note: Remembered, item: Item, store: Store) -> bool:
    """Whether a recipe that was run meanwhile may want an item."""
    if item.what is What.SNAPSHOTS:
        return holds(item.path, note.starts)
    if item.path.parent == store.downloads:
        return item.path.suffix != ".bad" and (not note.is_whole or _archive(item.path) in note.archives)
    folder = item.part_of or item.path
    return not note.is_whole or key_of_folder(folder) in note.keys or holds(folder, note.starts)


def _archive(path: Path) -> str:
    return path.name.partition(".part")[0]
