"""Why MLflow did not do what was asked, in one line: the cause and not what was wrapped around it, without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from wavlm.errors.secrets import login_of

MAX_CHARACTERS = 1000  # a server that answers with a page: its beginning says enough
_ADDRESS = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>:?\s*|\w+\((?:host|port)=[^)]*\):\s*")
_SECRET = re.compile("pass|pwd|secret|token|key|sig|auth", re.IGNORECASE)  # in the name of a value of a query
_PASSWORDS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def cause_of(error: BaseException, uri: str) -> str:
    """What failed in the end, for example `Connection refused`; of an answer of the server, what it says."""
    chain = list(_chain(error))
    failed = [item for item in chain if isinstance(item, OSError)]  # and not what urllib3 and MLflow made of it
    named = [item for item in failed if item.strerror]
    deepest = next(iter([*reversed(named), *reversed(failed), error]))
    text = str(getattr(deepest, "strerror", None) or deepest).partition("\n[SQL:")[0]
    line = " ".join(_ADDRESS.sub("", text).split()) or type(deepest).__name__
    line = _without_secrets(line, uri)
    return line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]}..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from, the first cause last. urllib3 keeps it in `reason`, requests in `args`."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        inner = [getattr(found, "reason", None), *found.args]
        wrapped = next((item for item in inner if isinstance(item, BaseException)), None)
        found = wrapped or found.__cause__ or found.__context__


def _without_secrets(line: str, uri: str) -> str:
    """The line without user and password of the address, in either spelling, and without those of the environment."""
    user = login_of(uri)
    password = user.partition(":")[2]
    for secret in {f"{user}@", f"{unquote(user)}@"} - {"@"}:
        line = line.replace(secret, "")
    query = {value for name, value in parse_qsl(uri.partition("?")[2]) if _SECRET.search(name)}
    for secret in {*query, password, unquote(password), *(os.environ.get(name, "") for name in _PASSWORDS)} - {""}:
        line = line.replace(secret, "***")
    return line
