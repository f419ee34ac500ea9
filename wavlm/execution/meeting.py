"""How the machines of one training find each other: files in a folder that all of them see.

    ATTEMPT/leash.json     counted up by the head every few seconds; when it stops or is gone, all machines stop
    ATTEMPT/node-0 ...     a machine has taken this place, whichever it is; inside, how its ranks ended
    ATTEMPT/meeting.json   where rank 0 listens, and a token; only its owner may read it

The files need no launcher that passes signals on, no number of a machine, and no port that is agreed on before. A beat
is judged by whether it changes, so clocks may differ. torch's store has no password: the token is a name that its keys
begin with, so that two trainings that meet by mistake read nothing of each other. Whoever reaches the port may still
disturb a training, so the network between the machines has to be a private one.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from wavlm.storage.files import read_json, write_json

FOLDER = ".nodes"  # in the folder that is trained into
LEASH, MEETING, ENDED, FAILED = "leash.json", "meeting.json", "ended.json", "failed"
BEAT_SECONDS = 5.0
LOST_SECONDS = 120.0  # without a beat; a file server may answer from a cache that is a minute old
POLL_SECONDS = 0.5


class Meeting(BaseModel):
    """Where the ranks of all machines meet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str  # an address of the machine of rank 0
    port: int
    token: str


@dataclass(frozen=True)
class Attempt:
    """The folder of one attempt to train on several machines."""

    folder: Path

    @classmethod
    def begin(cls, out: Path) -> Attempt:
        """A new one, of the training that fills `out`. Others that find it may take a place."""
        attempt = cls(out / FOLDER / secrets.token_hex(8))
        attempt.folder.mkdir(parents=True)
        attempt.beat(0)
        return attempt

    @classmethod
    def find(cls, out: Path) -> Attempt | None:
        """The attempt that goes on now, if one has a leash."""
        found = []
        for path in (out / FOLDER).glob(f"*/{LEASH}"):
            with suppress(FileNotFoundError):  # it has just ended
                found.append((path.stat().st_mtime_ns, path.parent))
        return cls(max(found)[1]) if found else None

    def beat(self, number: int) -> None:
        write_json(self.folder / LEASH, {"beat": number})

    def end(self, *, failed: bool = False) -> None:
        """Ask all machines to stop. failed: ranks that are lost cannot save anything together any more."""
        if failed:
            (self.folder / FAILED).touch()
        (self.folder / LEASH).unlink(missing_ok=True)

    @property
    def has_failed(self) -> bool:
        """Whether ranks are lost. A disk that fails now says nothing."""
        with suppress(OSError):
            return (self.folder / FAILED).exists()
        return False

    def read_beat(self) -> str:
        """What the leash holds now; empty if it is gone."""
        try:
            return (self.folder / LEASH).read_text()
        except FileNotFoundError:
            return ""

    def has_place(self, nodes: int) -> bool:
        """Whether a machine is still missing."""
        return len(list(self.folder.glob("node-*"))) < nodes

    def take_place(self, nodes: int, first: int = 0) -> int | None:
        """The first place that no machine has; None if all are taken. A folder can be made by one of them only.

        There is none, either, in an attempt that has ended, whose head has removed it.
        """
        with suppress(FileNotFoundError):
            for number in range(first, nodes):
                with suppress(FileExistsError):
                    (self.folder / f"node-{number}").mkdir()
                    return number
        return None

    def call(self, meeting: Meeting) -> None:
        """Say where the ranks meet."""
        partial = self.folder / f".{MEETING}.partial"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(meeting.model_dump_json())
        partial.rename(self.folder / MEETING)

    def find_meeting(self) -> Meeting | None:
        try:
            return Meeting.model_validate_json((self.folder / MEETING).read_text())
        except (FileNotFoundError, ValidationError):
            return None

    def note_end(self, node: int, code: int) -> None:
        """Say how the ranks of a machine ended."""
        write_json(self.folder / f"node-{node}" / ENDED, {"code": code})

    def ends(self) -> list[int]:
        """The exit codes of the machines that have ended."""
        return [int(read_json(path)["code"]) for path in sorted(self.folder.glob(f"node-*/{ENDED}"))]


class Leash:
    """What a machine holds on to: whether the head still wants the training."""

    def __init__(self, attempt: Attempt, clock: Callable[[], float] = time.monotonic) -> None:
        self.attempt, self._clock = attempt, clock
        self._seen, self._changed_at = "", clock()

    @property
    def holds(self) -> bool:
        """False when the leash is gone, or has not changed for `LOST_SECONDS`. A disk that fails now says nothing."""
        try:
            found = self.attempt.read_beat()
        except OSError:
            found = self._seen
        if found and found != self._seen:
            self._seen, self._changed_at = found, self._clock()
        return bool(found) and self._clock() - self._changed_at < LOST_SECONDS


def find_address() -> str:
    """An address of this machine that others reach: that of its name, or else that of its way out."""
    with suppress(OSError):
        found = socket.gethostbyname(socket.gethostname())
        if not found.startswith("127."):
            return found
    return find_way_to("10.255.255.255")


def find_way_to(host: str) -> str:
    """The address of this machine that packets to another one leave from. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
