"""One download attempt over http: continue a part file where the last attempt ended."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic, time

import httpx

from wavlm.corpus.credentials import NO_CREDENTIALS, Credentials
from wavlm.corpus.download.pin import HEAD_BYTES, Pin
from wavlm.corpus.download.redirects import InterruptedTransferError, RefusedError, explain_at, follow_redirects
from wavlm.corpus.download.running import RunningDigest
from wavlm.errors import BadDataError
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.deadline import HEADERS, Deadline
from wavlm.execution.progress import Progress
from wavlm.storage.files import explain_os_errors, write_json

UNKNOWN_BYTES = 500 * 10**9  # the largest corpora come in parts of 100 GB
ANSWERS_PER_READ = 4  # the head of an answer, redirects included, in so many times the limit of one read


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and retries. Failures are counted only while no new bytes arrive."""

    attempts: int = 6
    read_seconds: float = 30.0
    slow_seconds: float = 30.0  # fewer than slow_bytes in this time is a stall: so a size has a longest time
    slow_bytes: int = 300 * 1000
    backoff_seconds: float = 1.0
    backoff_cap_seconds: float = 120.0
    lock_seconds: float = 60.0


@dataclass(frozen=True)
class PartialFile:
    """An unfinished download, and its note {url, validator, size}, which names its source, without secrets in it."""

    path: Path
    digest: RunningDigest  # of what is written

    @property
    def note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def read_note(self) -> dict[str, str | int | None]:
        """The note; {} if it is missing or damaged. The part file cannot be continued then."""
        try:
            found = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def restart(self, url: str, validator: str | None, size: int | None) -> None:
        """Empty the part file, then write a new note."""
        self.note.unlink(missing_ok=True)
        self.path.write_bytes(b"")
        self.digest.restart()
        write_json(self.note, {"url": without_secrets_in(url), "validator": validator, "size": size})

    def drop(self) -> None:
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def transfer(  # noqa: PLR0913, PLR0917  from where, to where, what, how
    client: httpx.Client,
    url: str,
    part: PartialFile,
    pin: Pin,
    retry_policy: RetryPolicy,
    progress: Progress,
    credentials: Credentials = NO_CREDENTIALS,
) -> None:
    """Append the missing bytes to the part file, or start again if it cannot be continued.

    Raises InterruptedTransferError, RefusedError or BadDataError.
    """
    note = part.read_note()
    if note and part.size == (pin.size_bytes or note.get("size")):
        return  # complete: an earlier run was killed before it checked the file
    validator = note.get("validator")
    held = part.size if note.get("url") == without_secrets_in(url) and validator else 0
    headers = dict(HEADERS)
    if held:
        headers |= {"Range": f"bytes={held}-", "If-Range": str(validator)}
    answer = Deadline(ANSWERS_PER_READ * retry_policy.read_seconds)  # the body has a slowest pace of its own
    try:
        with answer, follow_redirects(client, url, headers, answer, credentials.token) as response:
            answer.end()
            total = _check_response(response, part, held, note.get("size"))
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if not resumed:
                part.restart(url, _validator(response), total)
            _append(response, part, _Goal(pin, total, without_secrets_in(str(url))), retry_policy, progress)
    except httpx.TimeoutException as error:
        raise InterruptedTransferError("DL_STALLED", explain_at(url, "the server does not answer")) from error
    except httpx.TransportError as error:
        if answer.expired:
            what = f"no whole answer in {answer.seconds:g} s"
            raise InterruptedTransferError("DL_STALLED", explain_at(url, what)) from error
        if isinstance(error.__context__, ssl.SSLError) or "CERTIFICATE_VERIFY" in str(error):
            raise RefusedError("DL_TLS", explain_at(url, f"no trusted certificate: {error}")) from error
        raise InterruptedTransferError("DL_CUT", explain_at(url, str(error))) from error


@dataclass(frozen=True)
class _Goal:
    pin: Pin
    total: int | None  # bytes, from the server's answer
    where: str

    @property
    def size(self) -> int | None:
        return self.pin.size_bytes if self.pin.size_bytes is not None else self.total

    @property
    def most_bytes(self) -> int:
        """More is an error: the size, or what no archive has if neither the spec nor the server names one."""
        return UNKNOWN_BYTES if self.size is None else self.size


def _append(
    response: httpx.Response, part: PartialFile, goal: _Goal, retry_policy: RetryPolicy, progress: Progress
) -> None:
    done = part.size
    head = b"" if done == 0 else None
    pace = _Pace(retry_policy, goal.where)
    part.digest.catch_up(part.path)
    with explain_os_errors(part.path), part.path.open("ab") as file:
        for chunk in response.iter_raw():  # without a chunk size, so that a slow transfer is noticed
            if head is not None:
                head = _check_head(head + chunk, goal)
            done += file.write(chunk)
            part.digest.add(chunk)
            if done > goal.most_bytes:
                raise BadDataError(
                    "DL_SIZE",
                    f"more than the expected {goal.most_bytes} bytes; at {goal.where}; "
                    "check the address and the size in the spec",
                )
            pace.tick(len(chunk))
            progress(done, goal.size or 0)
    if head is not None:  # fewer bytes than HEAD_BYTES: another format, or cut
        goal.pin.check_head(head, goal.where)
    if goal.size is not None and done < goal.size:
        raise InterruptedTransferError(
            "DL_SIZE",
            f"the server ended at {done} of {goal.size} bytes; at {goal.where}; run again",
        )


def _check_head(head: bytes, goal: _Goal) -> bytes | None:
    """The first bytes so far; None once they were complete and are those of the archive."""
    if len(head) < HEAD_BYTES:
        return head
    goal.pin.check_head(head, goal.where)
    if goal.pin.size_bytes is not None and goal.total not in (None, goal.pin.size_bytes):
        raise BadDataError(
            "DL_SIZE",
            f"the server offers {goal.total} bytes, expected {goal.pin.size_bytes}; at "
            f"{goal.where}; check the address and the size in the spec",
        )
    return None


def _check_response(response: httpx.Response, part: PartialFile, held: int, known: str | int | None) -> int | None:
    """Total size in bytes, None if not known, of an answer that continues (206) or starts again (200).

    Raises InterruptedTransferError or RefusedError for any other answer.
    """
    status = response.status_code
    length = response.headers.get("content-length", "")
    if status == httpx.codes.OK:
        return int(length) if length.isdigit() else None
    if status == httpx.codes.PARTIAL_CONTENT:
        start, total = _content_range(response)
        if start == held and total is not None and known in (None, total):
            return total
        part.drop()
        raise InterruptedTransferError("DL_RANGE", explain_at(response.url, f"wrong range, asked from byte {held}"))
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.drop()
        raise InterruptedTransferError("DL_RANGE", explain_at(response.url, "range refused"))
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise InterruptedTransferError("DL_HTTP", explain_at(response.url, f"status {status}"), _retry_after(response))
    raise RefusedError("DL_HTTP", explain_at(response.url, f"status {status}"))


def _content_range(response: httpx.Response) -> tuple[int, int | None]:
    """Start and total of `Content-Range: bytes 5-9/10`; (-1, None) for any other form."""
    unit, _, rest = response.headers.get("content-range", "").partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes" or not (start.isdigit() and total.isdigit()):
        return -1, None
    return int(start), int(total)


def _validator(response: httpx.Response) -> str | None:
    """A strong ETag, or the date of the last change, or None: the download cannot be continued then."""
    etag = str(response.headers.get("etag", ""))
    if etag and not etag.startswith("W/"):
        return etag
    return str(response.headers.get("last-modified", "")) or None


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to wait, given as a number or a date; 0 without such a header."""
    text = response.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (TypeError, ValueError):
        return 0.0


class _Pace:
    """Raises InterruptedTransferError for a slow transfer: fewer than `slow_bytes` in `slow_seconds`."""

    def __init__(self, retry_policy: RetryPolicy, where: str) -> None:
        self._retry_policy, self._where = retry_policy, where
        self._since, self._bytes = monotonic(), 0

    def tick(self, num_bytes: int) -> None:
        self._bytes += num_bytes
        elapsed = monotonic() - self._since
        if elapsed < self._retry_policy.slow_seconds:
            return
        if self._bytes < self._retry_policy.slow_bytes:
            raise InterruptedTransferError(
                "DL_STALLED",
                f"{self._bytes} bytes in {elapsed:.0f} s; at {self._where}; run again later",
            )
        self._since, self._bytes = monotonic(), 0
