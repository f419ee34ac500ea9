"""Find what of a store may go: each item with the reason and its size. Looks at the store, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wavlm.pipeline.artifacts import Corpus, Finetune, Labels, Model, Shards, generation_of
from wavlm.pipeline.garbage.corpora import find_archives, find_audio, find_downloads
from wavlm.pipeline.garbage.kept import Kept, key_of_folder
from wavlm.pipeline.garbage.notes import Remembered
from wavlm.pipeline.garbage.sizes import freed_by
from wavlm.pipeline.garbage.survey import Item, Survey, What, name_of_folder
from wavlm.pipeline.mirror.places import FETCHES
from wavlm.pipeline.record import RECORD_FILE
from wavlm.pipeline.store import FEATURES, Store
from wavlm.storage.holders import find_owner

SNAPSHOTS = "snapshots"
TRASH = "trash"


def find_garbage(store: Store, kept: Kept) -> tuple[list[Item], list[str]]:
    """All that may go of a store, and remarks about what stays."""
    survey = Survey(store, kept)
    looks = (
        _trash,
        _unfinished,
        _fetches,
        find_downloads,
        find_archives,
        find_audio,
        _features,
        _snapshots,
        _generations,
    )
    found = [item for look in looks for item in look(survey) if survey.is_inside(item.path)]
    items = weigh([item for item in found if not survey.is_start(item.path)])
    survey.remarks.extend(_explain(note) for note in kept.hidden)
    return items, survey.remarks


def weigh(items: Sequence[Item]) -> list[Item]:
    """The items with the bytes that deleting them frees, in this order."""
    sizes = freed_by([item.path for item in items])
    return [replace(item, num_bytes=size) for item, size in zip(items, sizes, strict=True)]


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
        yield Item(What.TRASH, path, "was replaced")


def _unfinished(survey: Survey) -> Iterator[Item]:
    """Attempts that no kept recipe continues."""
    for folder in survey.begun:
        key, name, lock = key_of_folder(folder), survey.name_of(folder), survey.lock_of(folder)
        if owner := find_owner(lock):
            survey.remarks.append(f"{name} stays: {owner} works on it")
        elif key in survey.kept.reasons:
            survey.remarks.append(f"{name} stays: {survey.kept.reasons[key]} continues it")
        elif not survey.may_belong(folder) and not survey.kept.unclear:
            yield Item(What.UNFINISHED, folder, "no kept recipe continues it", lock)


def _fetches(survey: Survey) -> Iterator[Item]:
    """Fetches from a mirror that did not end, of what no kept recipe wants, or of what is there meanwhile."""
    for folder in sorted((survey.store.root / FETCHES).glob("*")):
        key, name = key_of_folder(folder), survey.name_of(folder)
        lock = survey.store.root / "locks" / f"{folder.name}.lock"
        if owner := find_owner(lock):
            survey.remarks.append(f"{name} stays: {owner} works on it")
        elif key in survey.folders:
            yield Item(What.UNFINISHED, folder, "what was fetched is complete by now", lock)
        elif key in survey.kept.reasons:
            survey.remarks.append(f"{name} stays: {survey.kept.reasons[key]} continues it")
        elif not survey.kept.unread and not survey.kept.unclear:  # of a folder with new files nobody knows the key
            yield Item(What.UNFINISHED, folder, "no kept recipe fetches it", lock)


def _features(survey: Survey) -> Iterator[Item]:
    """The cache of evaluations, once none of them is under way."""
    folder = survey.store.root / FEATURES
    if not any(folder.glob("*.npy")):
        return
    if why := survey.find_evaluating():
        survey.remarks.append(f"{survey.name_of(folder)} stays: {why}")
        return
    yield Item(What.FEATURES, folder, "evaluations compute them again")


def _snapshots(survey: Survey) -> Iterator[Item]:
    """Checkpoints of complete models and systems."""
    for kind, what in ((Model.kind, "model"), (Finetune.kind, "system")):
        for _, folder in survey.of_kind(kind):
            if (path := folder / SNAPSHOTS).is_dir():
                yield Item(What.SNAPSHOTS, path, f"the {what} is complete", survey.lock_of(folder), folder)


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
    growing, followed = _growing(survey), _followed(survey)
    for key, folder in survey.folders.items():
        if key in survey.kept.reasons:
            continue
        if why := _why_stays(folder, survey, growing, followed):
            survey.remarks.append(f"{survey.name_of(folder)} stays: {why}")
            continue
        why = "no kept recipe or registered model is made from it"
        yield Item(What.GENERATIONS, folder, why, survey.lock_of(folder))


def _why_stays(folder: Path, survey: Survey, growing: set[str], followed: set[tuple[str, str]]) -> str | None:
    """Why something stays although nothing that is there is made from it."""
    kind, name = folder.parent.name, name_of_folder(folder)
    if survey.may_belong(folder):
        return "the folder of its corpus has changed since it was read"
    if kind == Corpus.kind and name in growing:
        return "its next revision is split as it was"
    return "its next generation takes parts over from it" if (kind, name) in followed else None


def _growing(survey: Survey) -> set[str]:
    """Names of the corpora of kept recipes that are not made yet: an earlier revision decides how they are split."""
    artifacts = [artifact for item in survey.kept.recipes for artifact in item.artifacts]
    return {item.name for item in artifacts if isinstance(item, Corpus) and not survey.store.is_complete(item)}


def _followed(survey: Survey) -> set[tuple[str, str]]:
    """Kind and name of shards and labels of which kept recipes have a later generation that is not made yet."""
    artifacts = [artifact for item in survey.kept.recipes for artifact in item.artifacts]
    return {
        (item.kind, item.name)
        for item in artifacts
        if isinstance(item, Shards | Labels)
        and (generation_of(item.shards if isinstance(item, Labels) else item) or 1) > 1
        and not survey.store.is_complete(item)
    }
