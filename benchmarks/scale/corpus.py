"""The corpus stage without audio: recordings as a layout yields them, to a manifest and a history.

What is left out is what looks at files: the walk through the folder, hashing and headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.scale import Row, Spent, cost_of, in_sizes
from benchmarks.scale.rows import PER_SPEAKER

SIZE = 1_000_000
SPEC = {
    "name": "fake",
    "role": "speech",
    "description": "made up",
    "homepage": "https://example.org",
    "license": "none",
    "citation": "none",
    "layout": {"type": "librispeech"},
    "valid_fraction": 0.01,
}
KNOWN = {"MB": ("2,286 MB", "<= 300 MB"), "CPU s": ("", "")}


def measure(size: int | None = None) -> list[Row]:
    """Peak memory and CPU time from the recordings to the manifest."""
    return in_sizes("corpus stage without audio", measure_once, size or SIZE, KNOWN)


def measure_once(size: int) -> Spent:
    """What the stage costs for so many recordings, each a file."""
    with TemporaryDirectory() as name:
        return cost_of(build, Path(name), size)


def build(out: Path, size: int) -> int:
    """List the recordings, make the parts with files that are made up, and write manifest and history."""
    import wavlm.corpus.measure as parts
    from wavlm.corpus.first import Rows, begin, write_begun
    from wavlm.corpus.listing import LISTING, ListedFile, write_listing
    from wavlm.corpus.reading import check_keys
    from wavlm.corpus.sums import sum_manifest
    from wavlm.specs import CorpusSpec
    from wavlm.storage.parquet import lean_memory

    parts._read_file = _fake_file  # type: ignore[assignment] # noqa: SLF001 - what would open files
    spec = CorpusSpec.model_validate({**SPEC, "sources": ({"type": "folder", "path": str(out)},)})
    with lean_memory():
        listing = write_listing(out / LISTING, _recordings(size), lambda _: ListedFile("0" * 64))
        check_keys(listing, out)
        (out / parts.PARTS).mkdir()
        roots = parts.Roots(out, None, PurePosixPath("audio"), 0)
        for number in range(listing.num_parts):
            parts.measure_part(parts.FilesPart(listing.path, number, parts.part_path(out, number)), roots)
        rows = Rows(out, listing.num_parts)
        write_begun(spec, rows, begin(spec, rows, out), with_history=True)
        return sum_manifest(out).recordings


def _recordings(size: int) -> Iterator[Any]:
    from wavlm.corpus.layouts import Recording

    for number in range(size):
        speaker = f"speaker-{number // PER_SPEAKER:06d}"
        path = PurePosixPath(f"part-one/{speaker}/book/{number:09d}.flac")
        yield Recording(f"utterance-{number:09d}", path, speaker)


def _fake_file(name: PurePosixPath, _known: object, roots: Any, **_: object) -> Any:
    import hashlib

    from wavlm.corpus.measure import _File

    digest = hashlib.sha256(str(name).encode()).hexdigest()
    return _File(str(roots.shown / name), 200_000, digest, 16_000, 192_000)
