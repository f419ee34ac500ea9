"""The digests of first downloads: what stands in for a digest where a publisher gives none.

They are noted in two places. `<digest of the address>.<format>.digest.json` in the downloads folder is about one store.
The list beside the corpus spec, `NAME.digests.json`, is about all machines that use the spec. It is plain JSON, because
people commit it. What it says comes before what a store has noted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wavlm.errors import BadDataError, CannotWriteError
from wavlm.errors.secrets import without_secrets_in
from wavlm.specs import HttpsSource, Sha256
from wavlm.storage.facts import Facts
from wavlm.storage.files import read_json, write_json
from wavlm.storage.locks import wait_for_lock

LOCK_SECONDS = 60.0  # others hold the list while they write one line
ADDRESS_DIGITS = 16

logger = logging.getLogger(__name__)


class NotedDigest(Facts):
    """What the first download of an archive was."""

    sha256: Sha256
    bytes: int
    when: str  # UTC, to the second


_List = TypeAdapter(dict[str, NotedDigest])


def fill_digests(sources: Iterable[HttpsSource], downloads: Path) -> dict[HttpsSource, NotedDigest]:
    """What is known of those that have no digest yet. Raises BadDataError (DIGESTS_DAMAGED)."""
    unknown = [source for source in sources if not source.is_known]
    found = ((source, find_digest(source, downloads)) for source in unknown)
    return {source: noted for source, noted in found if noted}


def find_digest(source: HttpsSource, downloads: Path) -> NotedDigest | None:
    """The first download of an archive, as the list or else the store has it. Raises BadDataError (DIGESTS_DAMAGED)."""
    return _find_listed(source) or _find_in_store(source, downloads)


def _find_listed(source: HttpsSource) -> NotedDigest | None:
    listed = _read(Path(source.digests)) if source.digests else {}
    return next((listed[name] for name in map(show_address, source.urls) if name in listed), None)


def _find_in_store(source: HttpsSource, downloads: Path) -> NotedDigest | None:
    try:
        return NotedDigest.model_validate(read_json(_note_of(source, downloads)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(_note_of(source, downloads), error) from error


def note_digest(source: HttpsSource, downloads: Path, sha256: str, num_bytes: int) -> NotedDigest:
    """Note a first download in the store and in the list. A list that cannot be written is a warning."""
    noted = NotedDigest(sha256=sha256, bytes=num_bytes, when=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    write_json(_note_of(source, downloads), noted.model_dump())
    _list_if_possible({source: noted})
    return noted


def list_missing(sources: Iterable[HttpsSource], downloads: Path) -> None:
    """List what only the store knows of these archives: another corpus, or an earlier spec, has downloaded them.

    A list that cannot be written is a warning. Raises LockedError and BadDataError (DIGESTS_DAMAGED).
    """
    unlisted = [source for source in sources if source.digests and not _find_listed(source)]
    found = ((source, _find_in_store(source, downloads)) for source in unlisted)
    _list_if_possible({source: noted for source, noted in found if noted and noted.sha256 == source.sha256})


def _list_if_possible(found: Mapping[HttpsSource, NotedDigest]) -> None:
    try:
        list_digests(found)
    except CannotWriteError as error:
        shown = ", ".join(sorted(show_address(source.urls[0]) for source in found))
        logger.warning("only this store knows the digests of %s: %s", shown, error)


def list_digests(found: Mapping[HttpsSource, NotedDigest]) -> None:
    """Write digests into the lists beside the corpus specs, in the place of what stands there of these archives.

    Raises CannotWriteError (DIGESTS_CLOSED), LockedError and BadDataError (DIGESTS_DAMAGED).
    """
    for place in sorted({source.digests for source in found if source.digests}):
        path = Path(place)
        new = {show_address(source.urls[0]): noted for source, noted in found.items() if source.digests == place}
        try:
            with wait_for_lock(path.with_name(f".{path.name}.lock"), f"{path.name}", LOCK_SECONDS, lambda *_: None):
                listed = {**_read(path), **new}
                write_json(path, {name: listed[name].model_dump() for name in sorted(listed)})
        except OSError as error:
            raise CannotWriteError(
                "DIGESTS_CLOSED",
                f"the list of digests cannot be written: {error}; at {path}; let yourself write there, or name another "
                "file by `digests` of the source, then: wavlm pin CORPUS",
            ) from error


def show_address(url: str) -> str:
    """An address as the list has it: without secrets, and told apart from others of the same place."""
    shown = without_secrets_in(url)
    if shown == url:
        return url
    digest = HttpsSource.digest_of_address(url)
    return f"{shown}#{digest[:ADDRESS_DIGITS]}"


def _note_of(source: HttpsSource, downloads: Path) -> Path:
    return downloads / f"{source.address_digest}.{source.packed_as}.digest.json"


def _read(path: Path) -> Mapping[str, NotedDigest]:
    """A list; empty if there is none."""
    try:
        state = path.stat()
    except OSError:
        return {}
    return _parse(path, state.st_mtime_ns, state.st_ino, state.st_size)


@lru_cache(maxsize=16)  # hundreds of archives have one list
def _parse(path: Path, *_state: int) -> Mapping[str, NotedDigest]:
    try:
        return _List.validate_python(read_json(path))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BadDataError:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    else:
        what = str(error)
    return BadDataError(
        "DIGESTS_DAMAGED",
        f"digests of first downloads cannot be read: {what}; at {path}; correct or restore the file. Without it, the "
        "next download would be trusted as if it were the first",
    )
