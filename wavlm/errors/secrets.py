"""Addresses without what may be secret in them: for messages and for everything that is recorded."""

from __future__ import annotations

import re

# A sign at the end of an address belongs to the text around it. A quote inside is one of the address, which may have
# any sign in its user, password and query: `it's`, and doubled in YAML, `it''s`.
_END = r"""(?=\s|$|[;,)'"<>]+(?:\s|$)|['"<>]+(?:[\[\]{}()]|[,;:]['"<>\[\]{}()]))"""
_SCHEME = r"(?:https?:/+|[A-Za-z][A-Za-z0-9+.-]*://)"
_ADDRESS = re.compile(rf"({_SCHEME})((?:(?!{_END})\S)*)", re.IGNORECASE)
_WHOLE = re.compile(rf"((?:[A-Za-z][A-Za-z0-9+.-]*:)*?{_SCHEME})(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?", re.DOTALL)
_DATABASE_USER = re.compile(r"[^:/@]*:[^@]*@")  # of SQLAlchemy's addresses: the password may have / ? and # in it
_SCHEMELESS_USER = re.compile(r"[^:/@\s]*:[^/]*@")


def without_secrets(text: str) -> str:
    """Every address in a text without user, password and query; a fragment stays if it holds no `=`."""
    return _ADDRESS.sub(_redact, text) if ":/" in text else text


def without_secrets_in(address: str) -> str:
    """The same of a text that is one address and nothing else, of a wrong one, too; no fragment stays after a query."""
    found = _WHOLE.fullmatch(address)
    if not found:
        return _SCHEMELESS_USER.sub("", address, count=1)
    left = _redact(found)
    return left.partition("#")[0] if "?" in found[2] else left


def login_of(address: str) -> str:
    """User and password as they stand in an address."""
    found = _WHOLE.fullmatch(address)
    return found[2][: _user_end(found[1].lower(), found[2])].removesuffix("@") if found else ""


def _redact(found: re.Match[str]) -> str:
    scheme, rest = found.groups()
    rest = rest[_user_end(scheme.lower(), rest) :]
    place, _, fragment = rest.partition("#")
    place = place.partition("?")[0]
    fragment = f"#{fragment}" if fragment and "=" not in fragment else ""
    return f"{scheme}{without_secrets(place)}{without_secrets(fragment)}"  # one address may hold another


def _user_end(scheme: str, rest: str) -> int:
    """Where the user's part ends. A password should have `/`, `?` and `#` encoded, and one that has not counts too.

    So if what stands before the first of these signs can be no host, the host is behind the last `@`.
    """
    end = 0
    if not scheme.startswith("http") and (user := _DATABASE_USER.match(rest)):
        end = user.end()
    authority = re.split("[/?#]", rest[end:], maxsplit=1)[0]
    end += authority.rfind("@") + 1
    authority = authority[authority.rfind("@") + 1 :]
    after = rest[end + len(authority) :]
    if not (authority and "@" in after):
        return end
    host = _HOST.fullmatch(authority)
    name, port = (host["name"], host["port"] or "") if host else ("", authority)
    if port and not port.isdecimal():
        return rest.rfind("@") + 1
    is_known = "." in name or name.startswith("[") or name.lower() == "localhost"
    path = after if after[0] != "/" else re.split("[?#]", after, maxsplit=1)[0]
    if not is_known and "@" in path and (port or scheme.startswith("http")):
        return end + len(authority) + path.rfind("@") + 1
    return end
