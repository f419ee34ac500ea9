"""Who holds a lock now, by the note beside it. Looks only: no lock is taken or created."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from wavlm.storage.files import read_json
from wavlm.storage.locks import describe_owner


def find_owner(lock: Path) -> str | None:
    """The process that holds a lock, as text; None if nobody does. A process on another machine is believed."""
    note = lock.with_name(f"{lock.name}.owner")
    try:
        found: dict[str, Any] = read_json(note)
        if found["host"] == socket.gethostname():
            os.kill(int(found["pid"]), 0)
    except (FileNotFoundError, ValueError, KeyError, TypeError, ProcessLookupError):
        return None
    except PermissionError:  # the process runs, as another user
        pass
    return describe_owner(note)
