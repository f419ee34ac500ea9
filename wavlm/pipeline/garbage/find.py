"""Find what of a store may go: each item with the reason and its size. Looks at the store, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.pipeline.artifacts import Corpus, Model
from wavlm.pipeline.garbage.corpora import find_archives, find_audio, find_downloads
from wavlm.pipeline.garbage.kept import Kept, key_of_folder
from wavlm.pipeline.garbage.notes import Remembered
from wavlm.pipeline.garbage.survey import Item, Survey, What, name_of_folder, size_of
from wavlm.pipeline.record import RECORD_FILE
from wavlm.pipeline.store import Store
from wavlm.storage.holders import find_owner

SNAPSHOTS = "snapshots"
TRASH = "trash"


def find_garbage(store: Store, kept: Kept) -> tuple[list[Item], list[str]]:
    """All that may go of a store, and remarks about what stays."""
    survey = Survey(store, kept)
    looks = (_trash, _unfinished, find_downloads, find_archives, find_audio, _snapshots, _generations)
    items = [item for look in looks for item in look(survey) if survey.is_inside(item.path)]
    survey.remarks.extend(_explain(note) for note in kept.hidden)
    return [item for item in items if not survey.is_start(item.path)], survey.remarks


def _explain(note: Remembered) -> str:
    what = (
        "what it wanted then is kept" if note.is_whole else "what it wants is not known: only trash and the like goes"
    )
    return f"{note.path} was run with this store, and cannot be read from here: {what}; let go of it by --forget"


def _trash(survey: Survey) -> Iterator[Item]:
    for path in sorted((survey.store.root / TRASH).glob("*/*")):
        key = path.name.rpartition("-")[0].rpartition("-")[2]
        if key in survey.kept.reasons and key not in survey.folders and (path / RECORD_FILE).is_file():
            survey.remarks.append(f"{survey.name_of(path)} stays: {survey.kept.reasons[key]} wants it made again first")
            continue
        yield Item(What.TRASH, path, "was replaced", size_of(path))


def _unfinished(survey: Survey) -> Iterator[Item]:
    """Attempts that no kept recipe continues."""
    for folder in survey.begun:
        key, name, lock = key_of_folder(folder), survey.name_of(folder), survey.lock_of(folder)
        if owner := find_owner(lock):
            survey.remarks.append(f"{name} stays: {owner} works on it")
        elif key in survey.kept.reasons:
            survey.remarks.append(f"{name} stays: {survey.kept.reasons[key]} continues it")
        elif not survey.may_belong(folder) and not survey.kept.unclear:
            yield Item(What.UNFINISHED, folder, "no kept recipe continues it", size_of(folder), lock)


def _snapshots(survey: Survey) -> Iterator[Item]:
    """Checkpoints of complete models."""
    for _, folder in survey.of_kind(Model.kind):
        if (path := folder / SNAPSHOTS).is_dir():
            yield Item(What.SNAPSHOTS, path, "the model is complete", size_of(path), survey.lock_of(folder), folder)


def _generations(survey: Survey) -> Iterator[Item]:
    """Complete artifacts that nothing kept is made from."""
    for folder in survey.begun:
        if key_of_folder(folder) not in survey.kept.reasons and (owner := find_owner(survey.lock_of(folder))):
            survey.remarks.append(
                f"all generations stay: {owner} makes {survey.name_of(folder)}, which no kept recipe wants; name its "
                "recipe by --keep, or wait"
            )
            return
    if survey.kept.unclear:
        return
    growing = _growing(survey)
    for key, folder in survey.folders.items():
        if key in survey.kept.reasons:
            continue
        if survey.may_belong(folder):
            survey.remarks.append(
                f"{survey.name_of(folder)} stays: the folder of its corpus has changed since it was read"
            )
            continue
        if folder.parent.name == Corpus.kind and name_of_folder(folder) in growing:
            survey.remarks.append(f"{survey.name_of(folder)} stays: its next revision is split as it was")
            continue
        why = "no kept recipe or registered model is made from it"
        yield Item(What.GENERATIONS, folder, why, size_of(folder), survey.lock_of(folder))


def _growing(survey: Survey) -> set[str]:
    """Names of the corpora of kept recipes that are not made yet: an earlier revision decides how they are split."""
    artifacts = [artifact for item in survey.kept.recipes for artifact in item.artifacts]
    return {item.name for item in artifacts if isinstance(item, Corpus) and not survey.store.is_complete(item)}
