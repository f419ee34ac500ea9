"""The walk through a folder of audio, and the recordings that its layout finds, onto the disk. The files are empty."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.scale import Row, Spent, cost_of, in_sizes
from benchmarks.scale.rows import PER_SPEAKER

SIZE = 100_000
KNOWN = {"MB": ("", ""), "CPU s": ("", "")}


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time of listing so many files."""
    return in_sizes("walk through a folder", measure_once, size or SIZE, KNOWN)


def measure_once(size: int) -> Spent:
    """What listing costs. Another process makes the files, and is not counted."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        cost_of(write_files, folder / "audio", size)
        return cost_of(list_files, folder / "audio", folder / "listing")


def write_files(root: Path, size: int) -> None:
    """Empty files in the tree of LibriSpeech."""
    for number in range(size):
        speaker, at = divmod(number, PER_SPEAKER)
        path = root / f"part/{speaker + 1}/1/{speaker + 1}-1-{at:06d}.flac"
        if at == 0:
            path.parent.mkdir(parents=True)
        path.touch()


def list_files(root: Path, path: Path) -> int:
    """The number of recordings that are found, and written."""
    from wavlm.corpus.layouts import open_layout
    from wavlm.corpus.listing import ListedFile, write_listing
    from wavlm.specs.layouts import LibrispeechLayout
    from wavlm.storage.parquet import lean_memory

    with lean_memory():
        tree, found = open_layout(LibrispeechLayout(type="librispeech", root="part"), root)
        listing = write_listing(path, found, lambda _: ListedFile("0" * 64))
        return tree.account(str(item.path) for item in listing.read_recordings()).used
