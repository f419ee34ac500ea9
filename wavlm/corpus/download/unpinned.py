"""Download archives whose publisher gives no digest: the first download says which bytes are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wavlm.corpus.credentials import NO_CREDENTIALS, Credentials
from wavlm.corpus.download.https import fill_part, part_of
from wavlm.corpus.download.listed import read_list
from wavlm.corpus.download.noted import NotedDigest, find_digest, note_digest
from wavlm.corpus.download.pin import Pin, hold_archive_lock, publish, quarantine
from wavlm.corpus.download.transfer import PartialFile, RetryPolicy
from wavlm.corpus.download.whole import check_end
from wavlm.errors import BadDataError, UsageError
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.progress import Progress
from wavlm.specs import HttpsSource
from wavlm.storage.files import sha256_of


def fetch_first(
    source: HttpsSource,
    into: Path,
    progress: Progress,
    retry_policy: RetryPolicy | None = None,
    credentials: Credentials = NO_CREDENTIALS,
) -> NotedDigest:
    """The digest of an archive: the one that is noted, else that of a download, which is noted and kept.

    The archive lies in `into` under its digest then, as one that its publisher pins. A download that goes on continues
    the same file, or begins again if the server has another one.
    Raises as `wavlm.corpus.download.https.fetch`, and BadDataError (DIGESTS_DAMAGED, TAR_TRUNCATED, TAR_CORRUPT).
    """
    policy = retry_policy or RetryPolicy()
    into.mkdir(parents=True, exist_ok=True)
    place = into / source.file_name
    with hold_archive_lock(place, policy.lock_seconds):
        if noted := find_digest(source, into):  # by another run, while this one waited
            return noted
        pin = Pin.of_unknown(source)
        part = part_of(place, pin)
        fill_part(part, pin, source.urls, progress, policy, credentials)
        _check_end(part, source)
        digest, size = part.digest.hexdigest(), part.size
        part.note.unlink(missing_ok=True)
        publish(part.path, into / f"{digest}.{source.packed_as}")
        return note_digest(source, into, digest, size)


def accept(sources: Sequence[HttpsSource], downloads: Path, sha256: str) -> HttpsSource:
    """Take a download that was refused in the place of the first one. Returns its source.

    It lies beside where the right one would be, with `.bad` behind its name, and is read to compare its digest.
    Raises UsageError (NOTHING_FITS) if no such download has this digest, and what checking its end raises.
    """
    for source in sources:
        refused = downloads / f"{source.file_name}.bad"
        if refused.is_file() and sha256_of(refused) == sha256:
            _check_content(refused, source, refused.stat().st_size)
            found = publish(refused, downloads / f"{sha256}.{source.packed_as}")
            note_digest(source, downloads, sha256, found.stat().st_size)
            return source
    raise UsageError(
        "NOTHING_FITS",
        f"no refused download of an archive without its publisher's digest has the sha256 {sha256}; at {downloads}; "
        "copy it from the message that refused the download, or run again to download the archive",
    )


def _check_content(path: Path, source: HttpsSource, announced_bytes: int | None) -> None:
    check_end(path, source, announced_bytes)
    if source.lists != "nothing":
        read_list(source, path)


def _check_end(part: PartialFile, source: HttpsSource) -> None:
    """Raise BadDataError if what was downloaded is no whole archive, or no list; it is renamed to `.bad` then."""
    announced = source.size_bytes or part.read_note().get("size")
    try:
        _check_content(part.path, source, int(announced) if announced else None)
    except BadDataError as error:
        part.note.unlink(missing_ok=True)
        bad = quarantine(part.path)
        where = without_secrets_in(source.urls[0])
        message = f"{error.message} (from {where}, kept as {bad.name})"
        raise BadDataError(error.code, message) from error
