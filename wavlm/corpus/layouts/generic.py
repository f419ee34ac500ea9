"""Layout of any folder tree: a glob for the audio, a pattern for the speaker, tables for text and phones."""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording, audio_files, key_of
from wavlm.errors import BadDataError
from wavlm.specs.corpora import GenericLayout


def read_generic(layout: GenericLayout, root: Path) -> Iterator[Recording]:
    """Keys are made from the relative paths. Tables name a recording by its file name without suffix."""
    texts = _texts(root / layout.transcripts) if layout.transcripts else {}
    phones = _phones(root / layout.phones) if layout.phones else {}
    speaker = _speaker_pattern(layout.speaker)
    for path in audio_files(root, layout.audio):
        yield Recording(
            key_of(path.with_suffix("").as_posix()),
            path,
            _speaker(speaker, path, root),
            texts.get(path.stem),
            phones.get(path.stem),
        )


def _speaker_pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadDataError(
            "LAYOUT", f"speaker is no regular expression: {error}; at {text!r}; correct layout.speaker"
        ) from error
    if "speaker" not in pattern.groupindex:
        raise BadDataError("LAYOUT", f"speaker needs a group (?P<speaker>...); at {text!r}; correct layout.speaker")
    return pattern


def _speaker(pattern: re.Pattern[str] | None, path: PurePosixPath, root: Path) -> str:
    if pattern is None:
        return UNKNOWN_SPEAKER
    found = pattern.search(path.as_posix())
    if found is None or not found["speaker"]:
        raise BadDataError(
            "LAYOUT",
            f"the pattern {pattern.pattern!r} finds no speaker in {path}; in {root}; narrow the glob or "
            "widen the pattern in the corpus spec",
        )
    return found["speaker"]


def _texts(path: Path) -> dict[str, str]:
    return {row["utt_id"]: row["text"] for row in _rows(path, ("utt_id", "text"))}


def _phones(path: Path) -> dict[str, tuple[Phone, ...]]:
    segments: dict[str, list[Phone]] = defaultdict(list)
    for row in _rows(path, ("utt_id", "start_s", "end_s", "phone")):
        try:
            phone = Phone(float(row["start_s"]), float(row["end_s"]), row["phone"])
        except (TypeError, ValueError) as error:  # None: the line ends before this column
            raise BadDataError(
                "LAYOUT", f"times are not numbers: {error}; in {path}, utterance {row['utt_id']}; correct the table"
            ) from error
        if not (phone.phone and 0 <= phone.start_s <= phone.end_s < math.inf):
            raise BadDataError(
                "LAYOUT",
                f"found a phone {phone.phone} from {phone.start_s} to {phone.end_s} s, expected "
                f"one with a name and 0 <= start <= end; in {path}, utterance {row['utt_id']}; correct the table",
            )
        segments[row["utt_id"]].append(phone)
    return {name: tuple(sorted(found)) for name, found in segments.items()}


def _rows(path: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a table with tabs and a header. Quotes have no special meaning."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = set(wanted) - set(reader.fieldnames or ())
        if missing:
            raise BadDataError(
                "LAYOUT",
                f"no column {', '.join(sorted(missing))}; in {path}, which has {', '.join(reader.fieldnames or ())}; "
                "correct its first line",
            )
        yield from reader
