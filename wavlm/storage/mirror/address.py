"""The address of a mirror: `s3://bucket/folder`, or `file:///folder` on a disk that machines share."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wavlm.errors import UsageError
from wavlm.errors.secrets import without_secrets_in

S3, FILE = "s3", "file"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_PART = re.compile(r"[A-Za-z0-9._=-]+")


def read_address(text: str) -> str:
    """The address in its one form, without a slash at its end.

    Raises UsageError (MIRROR_ADDRESS), also for an address with a password in it: it would stand in records and logs.
    """
    found = urlsplit(text)
    if found.username is not None or found.password is not None or found.query or found.fragment:
        raise _refuse(text, "it holds more than a place; give credentials in the environment or in a profile")
    if found.scheme == FILE:
        return f"file://{folder_of(text)}"
    if found.scheme != S3:
        raise _refuse(text, f"the scheme is {found.scheme or 'missing'}; write s3://BUCKET/FOLDER or file:///FOLDER")
    parts = [part for part in found.path.split("/") if part]
    if not _BUCKET.fullmatch(found.netloc):
        raise _refuse(text, "it names no bucket; write s3://BUCKET/FOLDER")
    if not all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
        raise _refuse(text, "a folder in it has other signs than A-Z a-z 0-9 . _ = -; name another one")
    return "/".join([f"s3://{found.netloc}", *parts])


def folder_of(address: str) -> Path:
    """The folder of a `file://` address. Raises UsageError (MIRROR_ADDRESS) if it is not absolute."""
    found = urlsplit(address)
    folder = Path(unquote(found.path))
    if found.netloc or not folder.is_absolute():
        raise _refuse(address, "the folder is not absolute; write file:///FOLDER")
    return folder


def split_s3(address: str) -> tuple[str, str]:
    """Bucket and folder (empty: none) of an address that `read_address` has returned."""
    bucket, _, folder = address.removeprefix("s3://").partition("/")
    return bucket, folder


def _refuse(text: str, why: str) -> UsageError:
    what, _, advice = why.partition("; ")
    return UsageError("MIRROR_ADDRESS", f"this is no mirror: {what}; at {without_secrets_in(text)!r}; {advice}")
