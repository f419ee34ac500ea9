"""Download Debian packages with apt-get into private folders. Nothing is installed, and root is not needed."""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from wavlm.corpus.download.https import fetch_pinned
from wavlm.corpus.download.pin import Pin, hold_archive_lock, is_present, publish, quarantine, require_room
from wavlm.corpus.download.transfer import RetryPolicy
from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.execution.progress import Progress
from wavlm.specs import AptSource
from wavlm.storage.locks import wait_for_lock

logger = logging.getLogger(__name__)

WITHOUT_APT = "data_specs/recipes/mini-librispeech.yaml"
POLL_SECONDS = 0.1
LISTS_SECONDS = 600.0  # how long to wait while another process updates the package lists
UPDATE_SECONDS = 600.0
SHOW_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 10_000  # as the slowest download over https (RetryPolicy)


def fetch_apt(
    source: AptSource, into: Path, progress: Progress, retry_policy: RetryPolicy | None = None, *, hashes: bool = True
) -> Path:
    """The verified package `<sha256>.deb` in `into`, downloaded unless it is already there.

    The package lists of the machine are used if they have the package. Otherwise private lists under
    `<into>/apt` are updated. If apt offers other bytes (another release or distribution), the package is
    downloaded from the urls of the spec.
    `hashes`: as of `fetch`.
    Raises ServiceMissingError (APT_MISSING, APT_VERSION, APT_FAILED) or what `fetch` raises.
    """
    retry_policy = retry_policy or RetryPolicy()
    pin = Pin.of(source)
    into.mkdir(parents=True, exist_ok=True)
    target = into / pin.name
    with hold_archive_lock(target, retry_policy.lock_seconds):
        if is_present(target, pin, hashes=hashes):
            return target
        apt = _Apt(_require_program("apt-get", source), _require_program("apt-cache", source), into / "apt")
        require_room(into, source.size_bytes)
        apt.prepare()
        lists = _lists_with(source, apt)
        if lists is not None:
            return _download(source, apt, lists, target, progress)
    if not source.urls:
        raise _no_such_version(source, apt)
    logger.info("%s %s comes from the Debian pool", source.package, source.version)
    return fetch_pinned(pin, source.urls, into, progress, retry_policy)


@dataclass(frozen=True)
class _Apt:
    """The two programs and the private folder. `lists` are apt options; () means the lists of the machine."""

    get: str
    cache: str
    folder: Path

    @property
    def own_lists(self) -> tuple[str, ...]:
        return ("-o", f"Dir::State={self.folder / 'state'}")

    @property
    def options(self) -> tuple[str, ...]:
        # Sandbox: when root runs apt, apt would otherwise use a user that cannot read this folder.
        cache = self.folder / "cache"
        return ("-q", "-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User=root")

    def prepare(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def offers(self, package: str, lists: tuple[str, ...]) -> dict[str, str]:
        """{version: sha256} of a package in these lists."""
        done = _run((self.cache, *self.options[1:], *lists, "show", package))
        found: dict[str, str] = {}
        for stanza in done.stdout.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if line[:1].strip() and ": " in line)
            if "Version" in fields:
                found[fields["Version"]] = fields.get("SHA256", "")
        return found


def _lists_with(source: AptSource, apt: _Apt) -> tuple[str, ...] | None:
    """The first lists that offer the pinned bytes: the machine's, the private ones, or these after an update.

    None if no lists offer them.
    """
    lock = apt.folder / "lock"  # apt itself does not wait
    with wait_for_lock(lock, "the package lists", LISTS_SECONDS, lambda *_: None):
        return _find_lists(source, apt)


def _find_lists(source: AptSource, apt: _Apt) -> tuple[str, ...] | None:
    for lists in ((), apt.own_lists):
        if apt.offers(source.package, lists).get(source.version) == source.sha256:
            return lists
    updated = _run((apt.get, *apt.options, *apt.own_lists, "update"), UPDATE_SECONDS)
    if updated.returncode:
        logger.warning("apt-get update: %s", _last_errors(updated.stderr))
    offers = apt.offers(source.package, apt.own_lists)
    return apt.own_lists if offers.get(source.version) == source.sha256 else None


def _download(source: AptSource, apt: _Apt, lists: tuple[str, ...], target: Path, progress: Progress) -> Path:
    wanted = f"{source.package}={source.version}"
    command = (apt.get, *apt.options, *lists, "-o", "Acquire::Retries=3", "download", wanted)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".apt-") as name:
        folder = Path(name)
        with (folder / "log").open("w+b") as log:
            process = subprocess.Popen(  # noqa: S603 - a list, no shell; words checked by the spec
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            allowed = UPDATE_SECONDS + source.size_bytes / SLOWEST_BYTES_PER_SECOND
            ends = monotonic() + allowed
            try:
                while process.poll() is None:
                    sleep(POLL_SECONDS)
                    progress(_sum_bytes(folder), source.size_bytes)
                    if monotonic() > ends:
                        raise _too_slow(f"apt-get download {wanted}", allowed, f"into {target.parent}")
            finally:
                process.kill()
                process.wait()
        found = list(folder.glob("*.deb"))
        if process.returncode or len(found) != 1:
            said = _last_errors((folder / "log").read_text(errors="replace"))
            raise ServiceMissingError(
                "APT_FAILED",
                f"apt-get could not fetch {wanted}: {said}; into {target.parent}; check the network and run again",
            )
        return _publish_checked(found[0], Pin.of(source), target)


def _publish_checked(found: Path, pin: Pin, target: Path) -> Path:
    part = target.with_name(f"{target.name}.part")
    found.replace(part)
    try:
        pin.check(part)
    except BadDataError:
        quarantine(part)
        raise
    return publish(part, target)


def _sum_bytes(folder: Path) -> int:
    """Bytes that apt-get has written so far. Its file may have a temporary name."""
    total = 0
    for path in folder.iterdir():
        if path.name != "log":
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # just renamed
                continue
    return total


def _require_program(program: str, source: AptSource) -> str:
    path = shutil.which(program)
    if path is None:
        raise ServiceMissingError(
            "APT_MISSING",
            f"{program} is not installed; needed for the package {source.package}; run the "
            f"recipe {WITHOUT_APT} instead, which downloads over https, or use Debian or Ubuntu",
        )
    return path


def _no_such_version(source: AptSource, apt: _Apt) -> ServiceMissingError:
    offers = {**apt.offers(source.package, ()), **apt.offers(source.package, apt.own_lists)}
    there_is = ", ".join(f"{version} (sha256 {sha[:12]})" for version, sha in sorted(offers.items()))
    return ServiceMissingError(
        "APT_VERSION",
        f"the package lists do not have {source.package} {source.version} with sha256 {source.sha256[:12]}; "
        f"they have: {there_is or 'no such package'}; pin one of these in the corpus spec, or run the "
        f"recipe {WITHOUT_APT}",
    )


def _run(command: tuple[str, ...], seconds: float = SHOW_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which has to come in time: apt's own limits hold between two bytes only."""
    try:
        return subprocess.run(  # noqa: S603 - a list, no shell; words checked by the spec
            command, capture_output=True, text=True, errors="replace", check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        what = f"{Path(command[0]).name} {command[-1] if command[-1] == 'update' else 'show'}"
        raise _too_slow(what, seconds, "on this machine") from error


def _too_slow(what: str, seconds: float, where: str) -> ServiceMissingError:
    return ServiceMissingError(
        "APT_FAILED", f"{what} did not end in {seconds:g} s; {where}; check the network and the mirror, then run again"
    )


def _last_errors(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    return " | ".join(lines[-3:]) or "no reason given"
