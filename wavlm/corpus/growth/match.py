"""How a generation of a corpus follows from the one before: what is known, what was changed, and what is new.

Nothing that has a place moves. A recording that is known keeps generation, split and length; its file is not opened.
A changed one keeps its place, too. What is new goes to the side on which the rule of the first generation puts it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavlm.corpus.growth.history import History, Version
from wavlm.corpus.layouts import Recording
from wavlm.corpus.manifest import Content
from wavlm.errors import BadDataError
from wavlm.specs import CorpusSpec

TEST_SPLIT = "TEST_SPLIT"  # why a recording is in neither split: its publisher says that it is for tests
ROW_DIGITS = 16
_OTHER = {"train": "valid", "valid": "train"}


@dataclass(frozen=True)
class Present:
    """A recording that the layout finds now, and the bytes of its file."""

    recording: Recording
    sha256: str

    @property
    def content(self) -> Content:
        item = self.recording
        return Content(self.sha256, item.start_s, item.end_s, item.channel)

    @property
    def row(self) -> str:
        """A digest of all that the layout says, and of the file."""
        item = self.recording
        # JSON has no time that is no number; such a region is refused later, with its reason.
        said: tuple[object, ...] = (str(item.path), repr(self.content), item.speaker, item.language, item.text)
        said += (item.phones, item.part, item.target) if item.part or item.target else (item.phones,)
        return hashlib.sha256(json.dumps(said, allow_nan=False).encode()).hexdigest()[:ROW_DIGITS]


@dataclass(frozen=True)
class Match:
    """What became of the recordings of a generation in the next one, and what came with it."""

    known: Mapping[str, Version]  # by key
    changed: Mapping[str, Version]  # as they were
    removed: tuple[Version, ...]
    new: tuple[Present, ...]


def match(history: History, generation: int, present: Sequence[Present]) -> Match:
    """Compare the recordings that a generation had with those that are there now, by their keys.

    A recording leaves its place, and is a new one, if its owner has changed its split, or if it has now the content of
    one in the other split.
    """
    here = {item.recording.key: item for item in present}
    contents = contents_of(history)
    known: dict[str, Version] = {}
    changed: dict[str, Version] = {}
    removed: list[Version] = []
    for version in history.at(generation):
        item = here.get(version.key)
        if item is None or _is_moved(version, item.recording, history.rule):
            removed.append(version)
        elif item.row == version.row:
            known[version.key] = version
        elif item.content in contents[_OTHER.get(version.split, "")]:
            removed.append(version)
        else:
            changed[version.key] = version
    new = tuple(item for key, item in here.items() if key not in known and key not in changed)
    return Match(known, changed, tuple(removed), new)


def contents_of(history: History) -> Mapping[str, frozenset[Content]]:
    """What was ever in each split: also what was removed since was trained on, or held out."""
    found = {split: frozenset(item.content for item in history.versions if item.split == split) for split in _OTHER}
    return {**found, "": frozenset()}


def recall(history: History, generation: int, here: Mapping[str, str], spec: CorpusSpec, *, is_changed: bool) -> None:
    """Check that all recordings of a listed generation are there as they were. `here`: the row of each key.

    Raises BadDataError: GENERATION_GONE if something was taken away since, GENERATIONS_MISFIT if the files are the same
    (`is_changed` false) and are read otherwise.
    """
    lost = [item for item in history.at(generation) if here.get(item.key) != item.row]
    gone = [item for item in lost if item.until is not None or is_changed]
    if gone:
        raise BadDataError(
            "GENERATION_GONE",
            f"{len(gone)} recordings of generation {generation} of {spec.name}, such as {gone[0].key}, were changed or "
            "removed later; in the list of generations; bring them back, or fit the codebook on a later generation by "
            "`refit` in the recipe, or begin a new list: wavlm grow CORPUS --compact",
        )
    if lost:
        raise BadDataError(
            "GENERATIONS_MISFIT",
            f"{len(lost)} recordings of {spec.name}, such as {lost[0].key}, are read otherwise than when generation "
            f"{generation} was made, although their files are the same; in the list of generations; use the version "
            "that made it, or begin a new list, at the price of a full build: wavlm grow CORPUS --compact",
        )


def _is_moved(version: Version, recording: Recording, rule: str) -> bool:
    """Whether the layout names another split than the recording is in."""
    if (recording.split == "test") != (version.split == TEST_SPLIT):
        return True
    if recording.split == "valid":
        return version.split == "train"
    return rule == "layout" and version.split == "valid"
