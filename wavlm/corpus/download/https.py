"""Download an archive over https: several mirrors, retries, and a check of the digest."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import httpx

from wavlm.corpus.credentials import NO_CREDENTIALS, Credentials
from wavlm.corpus.download.pin import Pin, hold_archive_lock, is_present, publish, quarantine, require_room
from wavlm.corpus.download.redirects import InterruptedTransferError, RefusedError
from wavlm.corpus.download.running import RunningDigest
from wavlm.corpus.download.transfer import PartialFile, RetryPolicy, transfer
from wavlm.errors import BadDataError, CodedError
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.progress import Progress
from wavlm.rng import rng_for
from wavlm.specs import HttpsSource

logger = logging.getLogger(__name__)

# After an attempt that brought at least this many bytes, failures are counted from 0 again. Attempts stay
# limited, because the size of a file is.
RESET_BYTES = 1 << 20


def fetch(
    source: HttpsSource,
    into: Path,
    progress: Progress,
    retry_policy: RetryPolicy | None = None,
    credentials: Credentials = NO_CREDENTIALS,
    *,
    hashes: bool = True,
) -> Path:
    """The verified archive `<digest>.<format>` in `into`, downloaded unless it is already there.

    `hashes`: False if the caller compares the digest of an archive that is there while it reads it.
    Raises BadDataError (DL_HASH, DL_SIZE, DL_NOT_ARCHIVE), ServiceMissingError (DL_HTTP,
    DL_STALLED, DL_CUT, DL_RANGE, DL_TLS, DL_INSECURE), LockedError or CannotWriteError.
    """
    policy = retry_policy or RetryPolicy()
    return fetch_pinned(Pin.of(source), source.urls, into, progress, policy, credentials, hashes=hashes)


def fetch_pinned(  # noqa: PLR0913  what, where, how
    pin: Pin,
    urls: tuple[str, ...],
    into: Path,
    progress: Progress,
    retry_policy: RetryPolicy,
    credentials: Credentials = NO_CREDENTIALS,
    *,
    hashes: bool = True,
) -> Path:
    """Like `fetch`, given the pin and the addresses."""
    into.mkdir(parents=True, exist_ok=True)
    target = into / pin.name
    with hold_archive_lock(target, retry_policy.lock_seconds):
        if is_present(target, pin, hashes=hashes):
            return target
        part = part_of(target, pin)
        fill_part(part, pin, urls, progress, retry_policy, credentials)
        part.note.unlink(missing_ok=True)
        return publish(part.path, target)


def part_of(target: Path, pin: Pin) -> PartialFile:
    """The unfinished download that becomes `target`."""
    return PartialFile(target.with_name(f"{target.name}.part"), RunningDigest(pin.algorithm))


def fill_part(
    part: PartialFile,
    pin: Pin,
    urls: tuple[str, ...],
    progress: Progress,
    retry_policy: RetryPolicy,
    credentials: Credentials,
) -> None:
    """Download into a part file until it has the pinned bytes. Its lock must be held. Raises as `fetch`."""
    require_room(part.path.parent, max(0, (pin.size_bytes or 0) - part.size))
    _Attempts(part, pin, retry_policy, progress, credentials).fetch_from_any(urls)


@dataclass(frozen=True)
class _Attempts:
    """All attempts to fill one part file with the pinned bytes."""

    part: PartialFile
    pin: Pin
    retry_policy: RetryPolicy
    progress: Progress
    credentials: Credentials

    def fetch_from_any(self, urls: tuple[str, ...]) -> None:
        """Fill the part file from the first mirror that gives the pinned bytes.

        The mirror of an unfinished download is tried first.
        """
        begun = self.part.read_note().get("url")
        failures: list[CodedError] = []
        timeout = httpx.Timeout(self.retry_policy.read_seconds)
        with httpx.Client(timeout=timeout) as client:
            for url in sorted(urls, key=lambda url: without_secrets_in(url) != begun):
                try:
                    self._fetch_from_one(client, url)
                except (InterruptedTransferError, RefusedError, BadDataError) as error:
                    logger.warning("%s", error)
                    failures.append(error)
                else:
                    return
        # One that may pass says for the whole that another attempt is worth it.
        first = next((error for error in failures if error.is_transient), failures[0])
        if len(failures) > 1:
            also = ". Also: ".join(str(error) for error in failures if error is not first)
            raise type(first)(first.code, f"{first.message}. Also: {also}") from first
        raise first

    def _fetch_from_one(self, client: httpx.Client, url: str) -> None:
        """Fill the part file with the pinned bytes. Wrong bytes are kept as `.bad`, and downloaded once more."""
        part = self.part
        for last in (False, True):
            try:
                self._transfer_whole(client, url)
                part.digest.catch_up(part.path)
                self.pin.check_size(part.path)
                self.pin.check_digest(part.digest.hexdigest(), part.path)
            except BadDataError as error:
                part.note.unlink(missing_ok=True)
                bad = quarantine(part.path)
                part.digest.restart()
                # The part may have begun with other bytes, so one more download can help. It does not help with a web
                # page.
                if last or error.code == "DL_NOT_ARCHIVE":
                    message = f"{error.message} (from {without_secrets_in(url)}, kept as {bad.name})"
                    raise BadDataError(error.code, message) from error
                logger.warning("%s; downloading %s once more", error, without_secrets_in(url))
            else:
                return

    def _transfer_whole(self, client: httpx.Client, url: str) -> None:
        """Try until the part file has its full size. Raises InterruptedTransferError after too many failures."""
        failures, furthest = 0, self.part.size
        while True:
            try:
                transfer(client, url, self.part, self.pin, self.retry_policy, self.progress, self.credentials)
            except InterruptedTransferError as error:
                if self.part.size >= furthest + RESET_BYTES:
                    failures, furthest = 0, self.part.size
                failures += 1
                if failures >= self.retry_policy.attempts:
                    raise
                wait = _wait_seconds(failures, error.wait_seconds, self.retry_policy)
                logger.info("%s; attempt %d, waiting %.1f s", error, failures, wait)
                sleep(wait)
            else:
                return


def _wait_seconds(failures: int, asked_seconds: float, retry_policy: RetryPolicy) -> float:
    """Seconds to wait: doubled after each failure, with jitter, or what the server asks for; at most the cap."""
    jitter = rng_for(os.getpid(), "retry", failures).uniform(0.5, 1.0)
    doubled = retry_policy.backoff_seconds * 2.0 ** (failures - 1) * jitter
    return float(min(max(doubled, asked_seconds), retry_policy.backoff_cap_seconds))
