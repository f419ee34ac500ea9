"""Addresses without what may be secret in them: for messages and for everything that is recorded."""

from __future__ import annotations

import re

_END = r"""(?=[\s'"<>]|[;,)]+(?:\s|$)|$)"""  # a sign at the end of an address belongs to the sentence around it
_INSIDE = rf"""(?:(?!{_END})[^\s'"<>])"""
# scheme, user and password up to the last @ of the host's part, host and path, query, fragment
_ADDRESS = re.compile(
    rf"([A-Za-z][A-Za-z0-9+.-]*://)(?:(?:(?![/?#]){_INSIDE})*@)?((?:(?![?#]){_INSIDE})*)(\?(?:(?!\#){_INSIDE})*)?(\#{_INSIDE}*)?"
)


def without_secrets(text: str) -> str:
    """Every address in a text without user, password and query; a fragment stays if it holds no `=`."""
    return _ADDRESS.sub(_redact, text) if "://" in text else text


def _redact(found: re.Match[str]) -> str:
    scheme, place, _, fragment = found.groups()
    return f"{scheme}{place}{fragment if fragment and '=' not in fragment else ''}"
