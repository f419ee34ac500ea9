"""The versions that a version descends from: what each one started from, back to the first.

A version that started from another one names it in a tag. The chain may lead to other names, and end at a version that
somebody deleted: then that is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.registry.connection import Registry
from tasks.registry.versions import Version, has_model, versions_of

START_TAG, START_KEY_TAG, START_SHA256_TAG = "start.version", "start.key", "start.sha256"
MOST = 10_000  # of a chain, which somebody may have tied into a ring


@dataclass(frozen=True)
class Ancestry:
    """A version and those that it descends from, oldest first."""

    versions: tuple[Version, ...]
    beginning: str  # what the oldest of them started from

    @property
    def words(self) -> str:
        """From which versions the last one descends, the nearest first, and where all began."""
        before = [item.reference for item in reversed(self.versions[:-1])]
        return ", ".join([*before, self.beginning])


@dataclass
class Genealogist:
    """Looks for ancestors; reads the versions of each name once."""

    registry: Registry
    _known: dict[str, dict[int, Version]] = field(default_factory=dict)

    def trace(self, version: Version) -> Ancestry:
        """The ancestry of a version."""
        chain, seen = [version], {version.reference}
        while (reference := chain[-1].tags.get(START_TAG)) and len(chain) < MOST:
            found = self._find(reference)
            if found is None:
                return _end(chain, f"{reference}, which is not in the registry any more")
            if found.reference in seen:
                return _end(chain, f"{reference} again: its tag {START_TAG} is wrong")
            seen.add(found.reference)
            chain.append(found)
        return _end(chain, describe_start(chain[-1]))

    def _find(self, reference: str) -> Version | None:
        name, _, number = reference.rpartition(":")
        if name not in self._known:
            there = versions_of(self.registry, name) if has_model(self.registry, name) else ()
            self._known[name] = {item.version: item for item in there}
        return self._known[name].get(int(number)) if number.isascii() and number.isdigit() else None


def describe_start(version: Version) -> str:
    """What a version started from, as its tags say."""
    if reference := version.tags.get(START_TAG):
        return reference
    if key := version.tags.get(START_KEY_TAG):
        return f"the model {key}"
    sha256 = version.tags.get(START_SHA256_TAG)
    if sha256:
        return f"weights with sha256 {sha256[:12]}"
    return "random weights" if version.key else "what nobody recorded"


def _end(chain: list[Version], beginning: str) -> Ancestry:
    return Ancestry(tuple(reversed(chain)), beginning)
