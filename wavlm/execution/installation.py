"""Whether Python finds our own `flows` and `tasks`: the names are common, others install them too."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from wavlm.errors import ServiceMissingError

DISTRIBUTION = "wavlm-pipeline"
NAMES = ("flows", "tasks")
HOME = Path(__file__).resolve().parents[2]  # all three packages lie in one folder


def require_own_packages() -> None:
    """Raise ServiceMissingError (FOREIGN_PACKAGE), naming place, if another program's packages would be imported."""
    foreign = _elsewhere() or _overwritten()
    if foreign:
        raise ServiceMissingError(
            "FOREIGN_PACKAGE",
            f"{foreign}; another program uses the same name; give the pipeline a virtual environment of its own, "
            "without PYTHONPATH, or install it again",
        )


def _elsewhere() -> str | None:
    """Which package Python would take from another folder than ours."""
    for name in NAMES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        wanted = HOME / name / "__init__.py"
        if found != wanted:
            return f"Python finds {name} at {found or 'no file'}; expected {wanted}"
    return None


def _overwritten() -> str | None:
    """Which `__init__.py` is not the one that was installed; nothing to compare in a checkout."""
    try:
        files = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        return None
    ours = {HOME / name / "__init__.py" for name in NAMES}
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.hash and path in ours:
            digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                return f"{path} is not the file that {DISTRIBUTION} installed"
    return None
