"""The audio of a lhotse recording: its files and channels, and the regions of it that a row may mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

from wavlm.corpus.layouts.json_lines import Object
from wavlm.corpus.layouts.rows import RowError, to_seconds, to_text
from wavlm.corpus.layouts.table import shorten

MAKE_FILES = "write the audio to files first, as Recording.save_audio or CutSet.save_audios do, and list these"
HARMLESS = frozenset({"resample"})  # recordings are resampled in any case
TOLERANCE_SECONDS = 0.0005  # lhotse rounds times to samples


class Region(TypedDict):
    """A part of a file, as the fields of a row."""

    audio: str
    start_s: float | None
    end_s: float | None
    channel: int | None


@dataclass(frozen=True)
class File:
    """One file of a recording, with the numbers that its channels have in the recording, in the order of the file."""

    path: str
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Audio:
    """A recording: its files, and how long it is said to be."""

    name: str
    files: tuple[File, ...]
    seconds: float

    @property
    def channels(self) -> list[int]:
        return [channel for file in self.files for channel in file.channels]


def to_audio(row: Object) -> Audio:
    """The recording of an object. Raises RowError for one whose audio is no file as it is."""
    name, seconds = to_text(row.get("id")), to_seconds(row.get("duration"), "duration")
    if not name or seconds is None:
        raise RowError("a recording without id or duration", "make the manifest with lhotse")
    for transform in to_list(row.get("transforms"), "transforms"):
        if str(transform.get("name", "")).lower() not in HARMLESS:
            what = shorten(str(transform.get("name")))
            raise RowError(f"the audio of {name} is not that of its file: {what}", MAKE_FILES)
    files = tuple(_file(source) for source in to_list(row.get("sources"), "sources"))
    if not files:
        raise RowError(f"recording {name} has no sources", MAKE_FILES)
    audio = Audio(name, files, seconds)
    if len(set(audio.channels)) < len(audio.channels):
        raise RowError(f"a channel of {name} is in two files", "make the manifest with lhotse")
    return audio


def regions(audio: Audio, name: str, start: Any, duration: Any, channel: Any) -> Iterator[tuple[str, Region]]:
    """The regions that a row means, with a name for each: one per file, or per channel where some are not meant.

    A region that ends with the recording ends with its file.
    """
    begin, seconds = to_seconds(start, "start"), to_seconds(duration, "duration")
    if begin is None or seconds is None or not name:
        raise RowError("no id, start or duration", "make the manifest with lhotse")
    end = None if begin + seconds >= audio.seconds - TOLERANCE_SECONDS else begin + seconds
    found = list(_places(audio, _channels(audio, channel)))
    for file, place, first in found:
        yield (
            name if len(found) == 1 else f"{name}-c{first + 1}",
            Region(audio=file.path, start_s=begin or None, end_s=end, channel=place),
        )


def to_list(value: object, name: str) -> list[Object]:
    """A list of objects; empty if it is missing."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RowError(f"{name} is no list of objects", "make the manifest with lhotse")
    return value


def _places(audio: Audio, wanted: frozenset[int]) -> Iterator[tuple[File, int | None, int]]:
    """Files with the channel in them that is meant, None for all, and the channel of the recording."""
    for file in audio.files:
        meant = [channel for channel in file.channels if channel in wanted]
        if len(meant) == len(file.channels):
            yield file, None, meant[0]
        else:
            yield from ((file, file.channels.index(channel) + 1, channel) for channel in meant)


def _channels(audio: Audio, channel: object) -> frozenset[int]:
    wanted = channel if isinstance(channel, list) else [channel]
    if not wanted or not all(type(item) is int and item in audio.channels for item in wanted):
        raise RowError(f"channel {shorten(str(channel))} of a recording with {audio.channels}", "correct the channel")
    return frozenset(wanted)


def _file(source: Object) -> File:
    kind, channels = source.get("type"), source.get("channels")
    if kind != "file":
        raise RowError(f"a source of type {shorten(str(kind))}, which is not read", MAKE_FILES)
    if not isinstance(channels, list) or not channels or not all(type(item) is int for item in channels):
        raise RowError(f"a source with channels {shorten(str(channels))}", "make the manifest with lhotse")
    return File(to_text(source.get("source")), tuple(channels))
