"""Phrases of a second or two, cut out of read sentences between words: what recognition learns from in minutes.

`align/phones.tsv` has a line per phone: recording, start and end in seconds, phone, word. Words are those of the
transcripts, small, some with the number of a pronunciation behind them (`a(2)`); pauses have words in brackets.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import soundfile

from wavlm.storage.files import write_text

LEAST_S = 1.2  # a phrase ends with the first word after it


@dataclass(frozen=True)
class TimedWord:
    """A word with its place in a recording."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Phrase:
    """A stretch of a recording with what is said in it."""

    text: str
    start_s: float
    end_s: float


def cut_recordings(corpus: Path, out: Path) -> None:
    """Write the phrases of a corpus into a folder of the same shape: `speech/SPEAKER/NAME.flac`, `transcripts.tsv`.

    Recordings whose aligned words are not those of their transcript are left out.
    """
    words = read_words(corpus / "align" / "phones.tsv")
    rows = ["utt_id\ttext"]
    with (corpus / "transcripts.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            name, spoken = row["utt_id"], words.get(row["utt_id"], [])
            if [word.text for word in spoken] == row["text"].split():
                rows += [f"{key}\t{text}" for key, text in _write(corpus / row["path"], name, spoken, out)]
    write_text(out / "transcripts.tsv", "\n".join(rows) + "\n")


def read_words(path: Path) -> Mapping[str, Sequence[TimedWord]]:
    """The words of each recording, in order. The same word twice in a row counts as one."""
    found: dict[str, list[TimedWord]] = {}
    with path.open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for (name, word), group in groupby(rows, key=lambda row: (row["utt_id"], row["word"])):
            phones = list(group)
            text = re.sub(r"\(\d+\)$", "", word).upper()
            if not text.startswith(("<", "[")):
                timed = TimedWord(text, float(phones[0]["start_s"]), float(phones[-1]["end_s"]))
                found.setdefault(name, []).append(timed)
    return found


def phrases_of(words: Sequence[TimedWord], least_s: float = LEAST_S) -> list[Phrase]:
    """Cut in the middle between two words, so that each phrase has `least_s` or more, without pauses at the ends."""
    borders = [words[0].start_s, *((a.end_s + b.start_s) / 2 for a, b in pairwise(words)), words[-1].end_s]
    found: list[tuple[int, int]] = []
    first = 0
    for number in range(len(words)):
        if borders[number + 1] - borders[first] >= least_s:
            found.append((first, number + 1))
            first = number + 1
    if first < len(words):  # what is left over belongs to the last phrase
        found[-1:] = [(found[-1][0] if found else 0, len(words))]
    return [Phrase(" ".join(word.text for word in words[a:b]), borders[a], borders[b]) for a, b in found]


def _write(path: Path, name: str, words: Sequence[TimedWord], out: Path) -> Iterator[tuple[str, str]]:
    """Write the phrases of a recording; the name and the text of each."""
    samples, rate_hz = soundfile.read(path, dtype="int16")
    folder = out / "speech" / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, phrase in enumerate(phrases_of(words)):
        key = f"{name}-{number:02}"
        start, stop = round(phrase.start_s * rate_hz), round(phrase.end_s * rate_hz)
        soundfile.write(folder / f"{key}.flac", samples[start:stop], rate_hz)
        yield key, phrase.text
