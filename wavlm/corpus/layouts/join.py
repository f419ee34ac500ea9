"""Find the recording that a row of a table names: by its path, by the end of a path, or by a file name alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Literal

from wavlm.corpus.layouts.account import EXAMPLES, TableAccount
from wavlm.corpus.layouts.names import normal
from wavlm.corpus.layouts.sounds import AUDIO_SUFFIXES, suffix_of, without_suffix
from wavlm.storage.encoding import printable

Fate = Literal["path", "stem", "duplicate", "ambiguous", "left over"]


class Names:
    """The recordings of a corpus by the names that a table may give them.

    A row may give the path below the corpus or below the folder of the table; the last folders and the file name; a
    longer path that ends with the path below the corpus; or the file name alone. Each with or without suffix, with
    `./`, with backslashes, and with another audio suffix. A row that fits two recordings names none of them. The name
    of the corpus' own folder does not count: it is no part of the key, so a moved folder has to give the same rows.

    Names are compared in Unicode's form NFC. Of two that are equal in it, the one that is spelled as in the row counts.
    """

    def __init__(self, paths: Sequence[PurePosixPath], folder: PurePosixPath) -> None:
        """`folder`: of the table, below the corpus."""
        self._paths = paths
        self._folder = _parts(folder.as_posix())
        self._known: dict[str, tuple[Fate, int | None]] = {}  # many rows name one recording, or none
        self._first: dict[str, int] = {}
        self._more: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            for name in _ends(path):
                if self._first.setdefault(name, index) != index:
                    self._more.setdefault(name, [self._first[name]]).append(index)

    def find(self, row_id: str) -> tuple[Fate, PurePosixPath | None]:
        """How a row is joined, and the recording that it names."""
        if row_id not in self._known:
            self._known[row_id] = self._look_up(row_id)
        fate, hit = self._known[row_id]
        return fate, None if hit is None else self._paths[hit]

    def _look_up(self, row_id: str) -> tuple[Fate, int | None]:
        for name in _spellings(row_id):
            hits = self._search(name, _parts(name))
            if len(hits) == 1:
                return ("path" if "/" in name or self._is_at(hits[0], ()) else "stem"), hits[0]
            if hits:
                return "ambiguous", None
        return "left over", None

    def _search(self, name: str, parts: tuple[str, ...]) -> list[int]:
        hits = self._named(parts) or [hit for hit in self._named(parts[-2:]) if self._is_end_of(hit, parts[:-1])]
        if len(hits) < 2:
            return hits
        hits = [hit for hit in hits if self._is_at(hit, parts[:-1])] or hits
        spelled = [hit for hit in hits if _is_end(name, self._paths[hit])]
        return spelled if len(spelled) == 1 else hits

    def _named(self, parts: tuple[str, ...]) -> list[int]:
        name = "/".join(parts)
        if name in self._more:
            return self._more[name]
        return [self._first[name]] if name in self._first else []

    def _is_at(self, hit: int, folders: tuple[str, ...]) -> bool:
        """Whether a recording lies in these folders, below the corpus or below the table."""
        return self._folders(hit) in (folders, (*self._folder, *folders))

    def _is_end_of(self, hit: int, folders: tuple[str, ...]) -> bool:
        """Whether of these folders and those of a recording the longer ones end with the shorter ones."""
        own = self._folders(hit)
        shared = min(len(own), len(folders))
        return own[len(own) - shared :] == folders[len(folders) - shared :]

    def _folders(self, hit: int) -> tuple[str, ...]:
        return tuple(normal(part) for part in self._paths[hit].parts[:-1])


class Tally:
    """Counts what becomes of the rows of a table."""

    def __init__(self, table: str, word: str = "line") -> None:
        """`word`: what the rows are counted in."""
        self._table = table
        self._word = word
        self._fates: Counter[Fate] = Counter()
        self._examples: list[str] = []

    def add(self, fate: Fate, row_id: str, line: int) -> None:
        self._fates[fate] += 1
        if fate in ("duplicate", "ambiguous", "left over") and len(self._examples) < EXAMPLES:
            self._examples.append(f"{self._word} {line}: {printable(row_id[:60])} ({fate})")

    def account(self, without_row: int) -> TableAccount:
        """The counts; `without_row` recordings were named by no row."""
        return TableAccount(
            table=printable(self._table),
            rows=sum(self._fates.values()),
            by_path=self._fates["path"],
            by_stem=self._fates["stem"],
            duplicates=self._fates["duplicate"],
            ambiguous=self._fates["ambiguous"],
            left_over=self._fates["left over"],
            examples=tuple(self._examples),
            without_row=without_row,
        )


def _spellings(row_id: str) -> Iterator[str]:
    """Names that a row may mean, the nearest first: as it is, stripped, from Windows, without suffix."""
    clean = row_id.strip()
    names = dict.fromkeys((row_id, clean, clean.replace("\\", "/")))
    for name in [*names, *(name[: -len(suffix_of(name))] for name in names if suffix_of(name) in AUDIO_SUFFIXES)]:
        plain = "/".join(part for part in name.split("/") if part not in ("", "."))
        if plain:
            yield plain


def _parts(name: str) -> tuple[str, ...]:
    return tuple(normal(part) for part in name.split("/") if part not in ("", "."))


def _ends(path: PurePosixPath) -> set[str]:
    """The whole path, its last two parts, and its name; each with and without suffix."""
    folders = [normal(part) for part in path.parts[:-1]]
    starts = {"".join(f"{part}/" for part in chosen) for chosen in (folders, folders[-1:], [])}
    names = {normal(path.name), normal(without_suffix(path).rpartition("/")[2])}
    return {start + name for start in starts for name in names}


def _is_end(name: str, path: PurePosixPath) -> bool:
    """Whether a path ends with a name, letter by letter."""
    return any(f"/{whole}".endswith(f"/{name}") for whole in (str(path), without_suffix(path)))
