"""What a reference to a registered model means: NAME, NAME:VERSION or NAME@ALIAS, where names may hold anything."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence

from tasks.registry.connection import Registry
from tasks.registry.versions import CHAMPION, VERDICT_TAG, Version, has_model, names_of, versions_of
from wavlm.errors import UsageError
from wavlm.storage.encoding import printable

SCHEME = "models:/"  # MLflow's own form is understood, too
MAX_NAMES = 20  # that a message lists

_log = logging.getLogger(__name__)


def find_version(registry: Registry, reference: str) -> Version:
    """The one version that a reference means; `NAME` alone means its champion, or its newest version if none is.

    Raises UsageError that lists what there is.
    """
    name, found = find_versions(registry, reference)
    if not found:
        raise UsageError(
            "VERSION_UNKNOWN",
            f"{printable(name)} has no version; at {registry.place}; register one: wavlm sync RECIPE",
        )
    return found[0]


def find_versions(registry: Registry, reference: str) -> tuple[str, tuple[Version, ...]]:
    """The name, and the version that a reference means.

    Of `NAME` alone all versions: the one that other commands take for it first, which is logged with the reason.
    """
    missing: UsageError | None = None
    for name, part in _readings(reference):
        if not has_model(registry, name):
            continue
        versions = versions_of(registry, name)
        if not part:
            return name, _choose(registry, name, versions) if versions else ()
        found = [item for item in versions if part in (f":{item.version}", *(f"@{alias}" for alias in item.aliases))]
        if found:
            return name, (found[0],)
        missing = missing or _unknown_version(registry, name, part, versions)
    raise missing or _unknown_model(registry, reference)


def is_name(reference: str, name: str) -> bool:
    """Whether a reference is this name alone, without version or alias."""
    return reference.removeprefix(SCHEME) == name


def _choose(registry: Registry, name: str, versions: tuple[Version, ...]) -> tuple[Version, ...]:
    """The version that a name alone means, logged with the reason, before the others. `versions`: newest first."""
    champion = next((item for item in versions if CHAMPION in item.aliases), None)
    chosen = champion or versions[0]
    kind = "the champion" if champion else "the newest, for none is champion"
    _log.info(
        "%s without a version means %s, iteration %s: %s; %s; at %s",
        printable(name),
        printable(chosen.reference),
        chosen.iteration or "?",
        kind,
        printable(chosen.tags.get(VERDICT_TAG, "no reason is recorded")),
        registry.place,
    )
    return chosen, *(item for item in versions if item is not chosen)


def _readings(reference: str) -> Iterator[tuple[str, str]]:
    """What a reference may mean, the likeliest first: a name, and `:VERSION`, `@ALIAS` or nothing."""
    text = reference.removeprefix(SCHEME)
    name, colon, number = text.rpartition(":")
    if reference.startswith(SCHEME) and not colon:
        name, colon, number = text.rpartition("/")
    if name and number.isascii() and number.isdigit():
        yield name, f":{int(number)}"
    name, _, alias = text.rpartition("@")
    if name and alias:
        yield name, f"@{alias}"
    if text.strip() and not set(text) & set("/:"):  # no registered model's name has one of these
        yield text, ""


def _unknown_version(registry: Registry, name: str, part: str, versions: Sequence[Version]) -> UsageError:
    there = ", ".join(
        f"{item.version}{' (' + ', '.join(item.aliases) + ')' if item.aliases else ''}" for item in versions
    )
    return UsageError(
        "VERSION_UNKNOWN",
        f"no version of {printable(name)} is {f'number {part[1:]}' if part[0] == ':' else f'the {printable(part[1:])}'}"
        f"; at {registry.place}; there is: {there or 'none'}",
    )


def _unknown_model(registry: Registry, reference: str) -> UsageError:
    readings = list(_readings(reference))
    if not readings:
        return UsageError(
            "REFERENCE_BAD", f"this names no model; at {reference!r}; write NAME, NAME:VERSION or NAME@ALIAS"
        )
    name, names = readings[0][0], names_of(registry)
    close = difflib.get_close_matches(name, names, n=1)
    there = ", ".join(printable(item) for item in names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
    hint = f"did you mean {printable(close[0])}? " if close else ""
    return UsageError(
        "MODEL_UNKNOWN",
        f"no registered model is called {printable(name)}; at {registry.place}; {hint}there is: {there or 'none'}",
    )
