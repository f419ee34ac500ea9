"""Whether the paths of recordings name their speakers. Only what is convincing counts; the rest is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from wavlm.storage.encoding import printable

MOST_LEVELS = 4
LEAST_RECORDINGS = 3.0  # of a speaker, on average: a folder per recording names no speaker
MOST_REPEATED = 0.9  # of the file names
LEAST_SPEAKERS = 3  # two folders may be anything
# Words that name parts, places, times and kinds of recordings, alone or with a number: not people.
_OTHER = """
    train dev valid validation val test eval clean other noisy part split set chunk batch subset data dataset corpus
    raw audio audios wav wavs wave flac mp3 ogg opus m4a clip clips sound sounds speech voice voices recording
    recordings rec segment segments session sess call calls chapter chap episode ep show book video track disc disk cd
    side tape file
    files channel ch left right day week month year room meeting conversation conv dialog dialogue interview scene take
    male female men women boys girls m f children adults
    jan feb mar apr may jun jul aug sep oct nov dec january february march april june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday
    en es fr de it pt nl pl ru uk cs sv da no fi zh ja ko ar tr hi fa he el hu ro english spanish french german italian
    portuguese dutch polish russian chinese japanese korean arabic turkish hindi
"""
OTHER_WORDS = frozenset(_OTHER.split())
_DATE = re.compile(r"(19|20)\d\d([-_.]?\d\d){0,2}([-_ t]?\d{2}[-_:h]?\d{2}.*)?", re.IGNORECASE)
_NUMBERED = re.compile(r"([^\W\d_]+)[-_ .]?\d*")
_PREFIX = re.compile(r"(?P<speaker>[^\W_]*[^\W\d_][^\W_]*\d+|[^\W\d_]{2,})[-_].*")


@dataclass(frozen=True)
class SpeakerGuess:
    """A pattern that finds the speaker in a path, and the reason in words. Without a pattern: why there is none."""

    pattern: str
    why: str
    maybe: str = ""  # a pattern that may be right; a person has to decide


def guess_speakers(paths: Sequence[PurePosixPath]) -> SpeakerGuess:
    """The folder level whose names are those of speakers, if there is one that convinces."""
    doubts = []
    for level in range(min(MOST_LEVELS, min((len(path.parts) for path in paths), default=1) - 1)):
        names = Counter(path.parts[level] for path in paths)
        repeated = _is_repeated(paths, level)
        doubt = _doubt(names, len(paths), repeated=repeated)
        if doubt is None:
            again = ", and file names begin with them" if repeated else ""
            return SpeakerGuess(_pattern_of(level), f"the {_ordinal(level)} folders: {_show(names)}{again}")
        if len(names) > 1:
            doubts.append(f"the {_ordinal(level)} folders ({_show(names)}): {doubt}")
    why = "; ".join(doubts) or "there are no folders that could be speakers"
    return SpeakerGuess("", why, _maybe(paths))


def _is_repeated(paths: Sequence[PurePosixPath], level: int) -> bool:
    """Whether file names begin with the name of the folder, as in p225/p225_001.wav."""
    again = sum(path.name.startswith((f"{path.parts[level]}-", f"{path.parts[level]}_")) for path in paths)
    return again >= MOST_REPEATED * len(paths)


def _doubt(names: Counter[str], num_paths: int, *, repeated: bool = False) -> str | None:
    """Why folders of these names are not speakers; None if nothing speaks against it."""
    if len(names) < LEAST_SPEAKERS:
        return f"{len(names)} are too few to be sure"
    if num_paths / len(names) < LEAST_RECORDINGS and not repeated:
        return "they hold too few recordings each"
    odd = [name for name in names if _is_other(name)]
    if len(odd) > 0.1 * len(names):
        return f"names such as {printable(odd[0])} are not those of people"
    return None


def _is_other(name: str) -> bool:
    found = _NUMBERED.fullmatch(name)
    return bool(_DATE.fullmatch(name)) or (found is not None and found[1].lower() in OTHER_WORDS)


def _pattern_of(level: int) -> str:
    return f"^{'[^/]+/' * level}(?P<speaker>[^/]+)/"


def _maybe(paths: Sequence[PurePosixPath]) -> str:
    """A pattern for speakers in file names such as p225_001.wav, if all names have that form."""
    found = [_PREFIX.fullmatch(path.name) for path in paths]
    names = Counter(match["speaker"] for match in found if match)
    if None in found or _doubt(names, len(paths)) is not None:
        return ""
    return r"(?P<speaker>[^/_-]+)[-_][^/]*$"


def _ordinal(level: int) -> str:
    return ("first", "second", "third", "fourth")[level]


def _show(names: Counter[str]) -> str:
    most = ", ".join(printable(name) for name in sorted(names)[:3])
    fewest, most_of_one = min(names.values()), max(names.values())
    return f"{len(names):,} such as {most}, with {fewest:,} to {most_of_one:,} recordings"
