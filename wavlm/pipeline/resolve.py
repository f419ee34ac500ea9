"""Resolve a recipe: fill in what only the disk tells, the content of folders and how a grown corpus was split before.

`resolve` looks at names, sizes and times alone, so it answers at once; what a folder holds, or an archive without its
publisher's digest, may then be unknown, and the key of all that is made from it is `?`. `read_folders` hashes what is
not known.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wavlm.errors import BadDataError, UsageError
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.progress import Progress, no_progress
from wavlm.pipeline.artifacts import Corpus
from wavlm.pipeline.first_downloads import download_unknown, fill_in_digests
from wavlm.pipeline.language_models import read_language_models, resolve_language_models
from wavlm.pipeline.one_look import look, note, one_look, recall
from wavlm.pipeline.record import RECORD_FILE, read_field
from wavlm.pipeline.refreshes import read_refresh, take_corpus
from wavlm.pipeline.resolve_models import read_models, resolve_models
from wavlm.pipeline.store import Store
from wavlm.specs import CorpusSpec, FolderSource, HoldOut, Recipe, Spec
from wavlm.specs.identity import canonical
from wavlm.storage.disk_watch import watch_disk

if TYPE_CHECKING:  # their libraries are imported where there is a folder
    from wavlm.corpus.contents import FolderContents
    from wavlm.corpus.digests import Cache

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=Spec)
ROLES = ("speech", "noise", "rooms")  # the fields of a recipe that hold corpora


@dataclass(frozen=True)
class _Known:
    """A corpus and, if it is a folder whose content is known, that content. `is_listed`: its list has its split."""

    spec: CorpusSpec
    contents: FolderContents | None
    is_listed: bool = False


def resolve(recipe: Recipe, store: Store, *, is_today: bool = False) -> Recipe:
    """The recipe with the content of folders, where the store knows it, and with the rule of earlier splits.

    So are models: folders as the store knows them, and versions as the newest refresh of the recipe names them. The
    folders of speech are those of that refresh, too, once it has taken them; with `is_today` they are as they are now.

    Opens no audio file. Raises UsageError (FOLDER_STORE) and BadDataError (FOLDER_CHANGED, GENERATIONS_DAMAGED,
    DIGESTS_DAMAGED, MODEL_CHANGED).
    """
    refresh = None if is_today else read_refresh(store.root, recipe.name)
    recipe = resolve_language_models(resolve_models(recipe, store), store)
    return _replace_corpora(recipe, lambda spec: take_corpus(spec, refresh) or resolve_corpus(spec, store))


def resolve_corpus(spec: CorpusSpec, store: Store) -> CorpusSpec:
    """One corpus of a recipe, resolved. Raises as `resolve`."""
    with watch_folder(spec):
        return _keep_rule(_fill_in(fill_in_digests(spec, store), store), store)


def read_folders(
    recipe: Recipe,
    store: Store,
    progress: Progress = no_progress,
    stall_seconds: float = STALL_SECONDS,
    *,
    is_today: bool = False,
) -> Recipe:
    """The same, after every file of a folder that is new or has changed was hashed.

    Archives without their publisher's digest are downloaded, if this was not done before.
    A folder that is not there is left alone if its content is pinned and the corpus complete, or its evaluations wait.
    Raises UsageError (FOLDER_MISSING, FOLDER_STORE), LockedError, and BadDataError (FOLDER_CHANGED, FILE_CHANGED,
    FOLDER_UNREADABLE); ServiceMissingError (STORAGE_STALLED) if a disk gives no data for `stall_seconds`; and what
    downloading raises.
    """
    from wavlm.pipeline.aside import find_left_out

    with one_look():
        left_out = find_left_out(resolve(recipe, store, is_today=is_today), store)
        for spec in corpora_of(recipe):
            if spec.name not in left_out:
                read_folder(spec, store, progress, stall_seconds)
        read_models(recipe, store)
        read_language_models(recipe, store)
        return resolve(recipe, store, is_today=is_today)


def read_folder(
    spec: CorpusSpec, store: Store, progress: Progress = no_progress, stall_seconds: float = STALL_SECONDS
) -> None:
    """Hash what is new or has changed in the folder of one corpus, or download its unknown archives.

    Raises as `read_folders`.
    """
    download_unknown(spec, store, progress)
    from wavlm.corpus.contents import Outside, find_folder, read_contents

    with watch_folder(spec):
        cache = contents_cache(spec, store)
        if cache is None or _is_pinned_and_gone(spec) or recall(cache):
            return
        note(cache, read_contents(find_folder(spec), cache, progress, stall_seconds, Outside.of(spec)))


def corpora_of(recipe: Recipe) -> tuple[CorpusSpec, ...]:
    """All corpora of a recipe, of every role, and those of its evaluations."""
    of_roles = tuple(spec for role in ROLES for spec in getattr(recipe, role))
    evaluations = recipe.evaluate.evaluations if recipe.evaluate else ()
    of_tasks = [spec for it in evaluations for spec in (*it.corpora, *it.noise)]
    of_tasks += [spec for it in recipe.finetune for spec in (*it.corpora, *it.noise, *it.rooms)]
    simulations = [*(it.simulation for it in evaluations), *(it.simulation for it in recipe.finetune)]
    of_tasks += [spec for it in simulations if it for spec in (*it.corpora, *it.noise, *it.rooms)]
    return (*of_roles, *dict.fromkeys(of_tasks))


def unknown_corpora(resolved: Recipe) -> tuple[str, ...]:
    """Names of the corpora of a resolved recipe that have to be read, or downloaded, before the keys are known."""
    return tuple(spec.name for spec in corpora_of(resolved) if not Corpus(spec).is_known)


def watch_folder(spec: CorpusSpec) -> AbstractContextManager[None]:
    """While the block runs, the disk of a corpus' folder is named if it does not answer; nothing for archives."""
    return nullcontext() if spec.folder is None else watch_disk(_place(spec.folder))


def contents_cache(spec: CorpusSpec, store: Store) -> Cache | None:
    """Where the store keeps the digests of a corpus' folder; None for archives.

    Raises UsageError (FOLDER_STORE) if folder and store lie in each other: what a run writes would change the corpus.
    """
    if spec.folder is None:
        return None
    from wavlm.corpus.digests import Cache

    folder = Path(os.path.realpath(_place(spec.folder)))
    root = Path(os.path.realpath(store.root))
    if folder == root or folder in root.parents or root in folder.parents:
        inside = "the store lies in the folder" if folder in root.parents else "the folder lies in the store"
        raise UsageError(
            "FOLDER_STORE",
            f"{inside} of {spec.name}, so that a run would change the corpus; at {folder} and {root}; "
            "give --store a folder elsewhere, or move the corpus",
        )
    return Cache.of(store.root, folder, spec.layout)


def _replace_corpora(recipe: Recipe, change: Callable[[CorpusSpec], CorpusSpec]) -> Recipe:
    changed: dict[str, object] = {role: tuple(map(change, getattr(recipe, role))) for role in ROLES}
    if suite := recipe.evaluate:
        evaluations = tuple(_replace_in(it, ("corpora", "noise"), change) for it in suite.evaluations)
        changed["evaluate"] = suite.model_copy(update={"evaluations": evaluations})
    changed["finetune"] = tuple(_replace_in(it, ("corpora", "noise", "rooms"), change) for it in recipe.finetune)
    return recipe.model_copy(update=changed)


def _replace_in(spec: S, fields: Sequence[str], change: Callable[[CorpusSpec], CorpusSpec]) -> S:
    """A spec with other corpora in these fields, and in its simulation if it has one."""
    changed: dict[str, object] = {name: tuple(map(change, getattr(spec, name))) for name in fields}
    if simulation := getattr(spec, "simulation", None):
        changed["simulation"] = _replace_in(simulation, ("corpora", "noise", "rooms"), change)
    return spec.model_copy(update=changed)


def _is_pinned_and_gone(spec: CorpusSpec) -> bool:
    source = spec.folder
    return source is not None and source.content is not None and not _place(source).is_dir()


def _place(source: FolderSource) -> Path:
    return Path(os.path.expanduser(source.path))  # noqa: PTH111 - that of Path raises RuntimeError


def _fill_in(spec: CorpusSpec, store: Store) -> _Known:
    contents = known_contents(spec, store)
    if spec.folder is None or contents is None:
        return _Known(spec, None)
    return _identify(spec, spec.folder, contents)


def known_contents(spec: CorpusSpec, store: Store) -> FolderContents | None:
    """The content of a corpus' folder if the store knows all its files as they are; None for archives, too."""
    cache = contents_cache(spec, store)
    if spec.folder is None or cache is None or not _place(spec.folder).is_dir():
        return None
    from wavlm.corpus.contents import Outside, find_contents, find_folder

    return look(cache, lambda: find_contents(find_folder(spec), cache, Outside.of(spec)))


def _identify(spec: CorpusSpec, folder: FolderSource, contents: FolderContents) -> _Known:
    """A corpus with the digests of its generations, and with the rule of its list."""
    from wavlm.corpus.contents import check_pin
    from wavlm.corpus.growth.generations import find_rule, first_generation, read_list

    if folder.content is not None:
        check_pin(spec, contents.digest)
    found = read_list(spec) if folder.content is None else None  # what is pinned does not grow
    if found is None:
        return _Known(_with_source(spec, first_generation(folder, contents)), contents)
    is_listed = found.fits(spec) and found.latest > 0
    source = found.identify(folder, contents) if is_listed else first_generation(folder, contents)
    rule = spec.valid_rule or find_rule(found, spec)
    return _Known(_with_source(spec, source).model_copy(update={"valid_rule": rule}), contents, is_listed)


def _with_source(spec: CorpusSpec, source: FolderSource) -> CorpusSpec:
    return spec.model_copy(update={"sources": (source,)})


def _keep_rule(known: _Known, store: Store) -> CorpusSpec:
    """The corpus with the rule that split its earlier revision. Without it growth could move the validation set."""
    spec = known.spec
    decided = spec.valid_fraction == 0 or spec.valid_speakers or spec.valid_rule is not None
    artifact = Corpus(spec)
    if decided or known.is_listed or not artifact.is_known or store.is_complete(artifact):
        return spec
    folders = tuple(revisions_of(spec, store))
    made = (_rule_given(folder, spec) for folder in folders)
    earlier = (_rule_of(folder, known) for folder in folders)
    rules = chain(made, earlier)
    rule = next((found for found in rules if found is not None), None)
    return spec.model_copy(update={"valid_rule": rule}) if rule else spec


def revisions_of(spec: CorpusSpec, store: Store) -> Iterator[Path]:
    """Folders of the complete corpora of this name, the newest first."""
    records = store.root.glob(f"{Corpus.kind}/{spec.name}-*/{RECORD_FILE}")
    newest_first = sorted(records, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    yield from (path.parent for path in newest_first if path.parent.name.rpartition("-")[0] == spec.name)


def _rule_given(folder: Path, spec: CorpusSpec) -> HoldOut | None:
    """The rule that a complete corpus was made with, if it is this very revision: its key has that rule.

    The manifest may name another one, because a rule that holds nothing out is replaced.
    """
    try:
        made: Any = dict(read_field(folder, "identity")["spec"])  # type: ignore[arg-type]
    except BadDataError:
        return None  # `_rule_of` says so
    rule = made.pop("valid_rule", None)
    return HoldOut.model_validate_json(json.dumps(rule)) if rule and made == canonical(spec) else None


def _rule_of(folder: Path, known: _Known) -> HoldOut | None:
    """The rule of a complete corpus if it is an earlier revision: same share asked for, and some content in common."""
    from wavlm.corpus.manifest import read_contents_of, read_split_rule
    from wavlm.corpus.split import MOST

    try:
        old: Any = read_field(folder, "identity").get("spec")
        new: Any = canonical(known.spec)
        if old.get("valid_fraction") != new.get("valid_fraction"):
            return None  # what the record says comes first: a manifest is hashed before it is read
        rule = read_split_rule(folder)
        if rule is None or (rule.below > MOST and known.spec.role != "speech"):
            return None  # the one file of a small corpus of noise: its growth would be held out as well
        if known.contents is None:
            shared = any(source in old["sources"] for source in new["sources"])
        else:
            before = read_contents_of(folder) | _archives_of(folder)
            shared = not before.isdisjoint(known.contents.sha256s.values())
    except BadDataError as error:
        logger.warning("an earlier revision of %s does not count: %s", known.spec.name, error)
        return None
    return rule if shared else None


def _archives_of(folder: Path) -> frozenset[str]:
    """The sha256 of each archive or container that a complete corpus was unpacked from."""
    found: Any = read_field(folder, "facts").get("archives") or ()
    return frozenset(str(item["sha256"]) for item in found)
