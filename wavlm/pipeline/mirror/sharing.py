"""Stores of several machines that share a mirror: take what it has, make the rest, and give what was made.

What the mirror has is fetched without its large files; they come when something is made from them. If `Runtime` names a
bound for the cache, tars are not fetched at all: they are read through the cache.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from wavlm.errors import BadDataError, LockedError, ServiceMissingError, UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, Labels, Registration, Shards, SystemRegistration, generation_of
from wavlm.pipeline.mirror.bulk import is_cached, is_part_record
from wavlm.pipeline.mirror.entry import entry_key, list_entries, read_entry
from wavlm.pipeline.mirror.fetch import fetch, fill
from wavlm.pipeline.mirror.push import push
from wavlm.pipeline.record import read_seal
from wavlm.pipeline.store import Store
from wavlm.storage.elsewhere import Elsewhere, read_elsewhere, write_elsewhere
from wavlm.storage.mirror.mirror import Mirror
from wavlm.storage.seals import sealed_files

GIGABYTE = 10**9
NO_KEY = "0" * 12  # of no artifact
TARS_IN_CACHE = 2  # that have to fit: what is read, and what is fetched meanwhile

logger = logging.getLogger(__name__)


def bring_needed(artifacts: Iterable[Artifact], store: Store, runtime: Runtime) -> None:
    """Fetch of these artifacts, and of what the others need, what the mirror has and the store lacks.

    What somebody makes here meanwhile is left to him.
    """
    seen: set[str] = set()

    def visit(artifact: Artifact) -> None:
        if artifact.key in seen or not artifact.is_known or store.is_complete(artifact):
            return
        seen.add(artifact.key)
        with suppress(LockedError):
            if bring(artifact, store, runtime):
                return
        for item in artifact.needs:
            visit(item)

    for artifact in artifacts if runtime.mirror else ():
        visit(artifact)


def require_mirror(runtime: Runtime) -> None:
    """Ask the mirror for something, before any work. Raises UsageError (MIRROR_MISSING), and what `Mirror` raises."""
    if runtime.mirror:
        read_entry(_open(runtime.mirror), "corpus", NO_KEY)


def bring(artifact: Artifact, store: Store, runtime: Runtime) -> bool:
    """Fetch an artifact without its large files if the mirror has it; whether it is complete then."""
    if not runtime.mirror or not _is_shared(artifact):
        return False
    mirror = _open(runtime.mirror)
    entry = read_entry(mirror, artifact.kind, artifact.key)
    if entry is None:
        return False
    logger.info("%s: fetched from %s, where it is", artifact, mirror.address)
    fetch(entry, mirror, store.root, _elsewhere(store, runtime), is_light=True)
    return store.is_complete(artifact)


def fill_inputs(artifact: Artifact, store: Store, runtime: Runtime) -> None:
    """Fetch the large files of what an artifact is made from, from where it was fetched.

    Raises LockedError while another process does so, UsageError (CACHE_TOO_SMALL), and what `fetch` raises.
    """
    for item in artifact.needs:
        folder = store.path(item)
        elsewhere = read_elsewhere(folder)
        if elsewhere is None:
            continue
        wanted = _elsewhere(store, runtime).model_copy(
            update={"mirror": elsewhere.mirror, "left_out": elsewhere.left_out}
        )
        if wanted != elsewhere:
            write_elsewhere(folder, wanted)
        if wanted.cache_bytes:
            _check_cache(folder, wanted)
            kind = item.kind
            fill(folder, _open(wanted.mirror), is_wanted=lambda name, kind=kind: not is_cached(kind, name))  # type: ignore[misc]
        else:
            fill(folder, _open(wanted.mirror))


def fill_sibling(artifact: Artifact, store: Store, runtime: Runtime) -> None:
    """See to it that parts of the newest other generation can be taken over: bring it, and what says which parts fit.

    Labels are small and come whole; of shards the records of parts, and each tar when it is known to fit. Raises
    LockedError while another process does so, and ServiceMissingError. What cannot be taken over is made again.
    """
    shards = artifact.shards if isinstance(artifact, Labels) else artifact
    if not isinstance(shards, Shards) or (generation_of(shards) or 1) == 1:
        return
    try:
        siblings = store.siblings(artifact) or _bring_sibling(artifact, store, runtime)
        if siblings and (elsewhere := read_elsewhere(siblings[0])):
            is_wanted = bool if isinstance(artifact, Labels) else is_part_record
            fill(siblings[0], _open(elsewhere.mirror), is_wanted=is_wanted)
    except BadDataError as error:
        logger.warning("%s: nothing of the generation before is taken over from the mirror: %s", artifact, error)


def _bring_sibling(artifact: Artifact, store: Store, runtime: Runtime) -> list[Path]:
    """The newest artifact of the same name that the mirror has, fetched without its large files."""
    if not runtime.mirror:
        return []
    mirror = _open(runtime.mirror)
    found = [entry for entry in list_entries(mirror, artifact.kind) if entry.name == artifact.name]
    if not found:
        return []
    newest = max(found, key=lambda entry: entry.pushed_unix)
    logger.info("%s: takes over what stays the same from %s, which is in %s", artifact, newest, mirror.address)
    fetch(newest, mirror, store.root, _elsewhere(store, runtime), is_light=True)
    return store.siblings(artifact)


def give(artifact: Artifact, store: Store, runtime: Runtime) -> None:
    """Push a complete artifact, unless the mirror has it.

    If it has another making of it, because another machine was first, that one is taken in place of ours: what is made
    from it there and here then fits. Raises what `push` raises.
    """
    if not runtime.mirror or not _is_shared(artifact) or not store.is_complete(artifact):
        return
    mirror, folder = _open(runtime.mirror), store.path(artifact)
    try:
        push(folder, mirror)
    except BadDataError as error:
        entry, seal = read_entry(mirror, artifact.kind, artifact.key), read_seal(folder)
        if error.code != "MIRROR_DIFFERS" or entry is None or seal is None or entry.content == seal.content:
            raise
        logger.warning("%s: another machine has made it, too, and was first: ours goes to the trash", artifact)
        store.redo(artifact)
        bring(artifact, store, runtime)


def give_if_it_answers(artifact: Artifact, store: Store, runtime: Runtime) -> None:
    """The same; a mirror that does not answer now stops nobody who has more to make. Who ends calls `give` again."""
    try:
        give(artifact, store, runtime)
    except ServiceMissingError as error:
        if not error.is_transient:
            raise
        logger.warning("%s: not pushed yet: %s", artifact, error)


def give_all(artifacts: Iterable[Artifact], store: Store, runtime: Runtime) -> None:
    """Push what the mirror did not take at once. Raises as `give`."""
    for artifact in artifacts:
        give(artifact, store, runtime)


def has_given(artifacts: Iterable[Artifact], runtime: Runtime) -> bool:
    """Whether the mirror, if there is one, has all of these artifacts."""
    shared = [item for item in artifacts if _is_shared(item)]
    return not runtime.mirror or not find_lacking(shared, runtime)


def find_lacking(artifacts: Iterable[Artifact], runtime: Runtime) -> list[Artifact]:
    """Those that the mirror does not have: all of them, if there is none. Raises what `Mirror` raises."""
    if not runtime.mirror:
        return list(artifacts)
    mirror = _open(runtime.mirror)
    return [
        item
        for item in artifacts
        if not (_is_shared(item) and item.is_known and mirror.size_of(entry_key(item.kind, item.key)) is not None)
    ]


def _is_shared(artifact: Artifact) -> bool:
    """A registration says what a registry holds: it is asked, and no mirror."""
    return not isinstance(artifact, Registration | SystemRegistration)


def _elsewhere(store: Store, runtime: Runtime) -> Elsewhere:
    own = Path(runtime.scratch) / "wavlm-cache" if runtime.scratch else store.root / "cache"
    return Elsewhere(
        mirror=_open(runtime.mirror).address if runtime.mirror else "",
        cache=runtime.cache or str(own),
        cache_bytes=runtime.cache_gigabytes * GIGABYTE,
    )


def _check_cache(folder: Path, elsewhere: Elsewhere) -> None:
    largest = max((file.bytes for name, file in sealed_files(folder).items() if name.endswith(".tar")), default=0)
    if TARS_IN_CACHE * largest > elsewhere.cache_bytes:
        raise UsageError(
            "CACHE_TOO_SMALL",
            f"the largest tar has {largest} bytes, and the cache {elsewhere.cache_bytes}, which has to hold "
            f"{TARS_IN_CACHE}; at {folder}; give it more room: --cache-gigabytes",
        )


@cache
def _open(address: str) -> Mirror:
    return Mirror(address)
