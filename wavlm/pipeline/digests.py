"""sha256 of large files, remembered in the store: a file is hashed again when its inode, time or size changes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from wavlm.storage.files import read_json, sha256_of, write_json

CACHE = Path("cache") / "sha256.json"  # below the root of a store


def cached_sha256(path: Path, store_root: Path) -> str:
    """The sha256 of a file. The cache is a convenience: a store that cannot be written has none."""
    if known := known_sha256(path, store_root):
        return known
    cache, identity = store_root / CACHE, _identity_of(path)
    digest = sha256_of(path)
    if store_root.is_dir():
        with suppress(OSError):
            cache.parent.mkdir(exist_ok=True)
            write_json(cache, {**_read(cache), identity: digest})
    return digest


def known_sha256(path: Path, store_root: Path) -> str | None:
    """The remembered sha256 of a file as it is now; None if it has to be hashed first."""
    return _read(store_root / CACHE).get(_identity_of(path))


def _identity_of(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_mtime_ns}:{stat.st_size}"


def _read(cache: Path) -> dict[str, str]:
    """What is remembered; nothing if the file is missing or damaged."""
    try:
        found = read_json(cache)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(item, str) for item in found.values()) else {}
