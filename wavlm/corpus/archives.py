"""Gather the files of a corpus: download and unpack its archives, or use the folder that the spec names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wavlm.corpus.contents import Cache, FolderContents, check_pin, find_folder, read_contents
from wavlm.corpus.download import Pin, fetch, fetch_apt
from wavlm.corpus.download.pin import require_room
from wavlm.corpus.facts import ArchiveReceipt
from wavlm.corpus.sources import refuse_sources
from wavlm.corpus.unpack import Limits, unpack
from wavlm.errors.secrets import without_secrets
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.progress import Progress
from wavlm.specs import AptSource, CorpusSpec, FolderSource, HttpsSource
from wavlm.storage.files import read_json, sha256_of, write_json

AUDIO = "audio"
RECEIPTS = "archives"

# Free space required before unpacking, as a multiple of the archive's size. Measured: 1.0 (LibriSpeech) to 1.4.
UNPACKED_RATIO = 1.5


@dataclass(frozen=True)
class Files:
    """The folder of a corpus' files, and one receipt per archive."""

    root: Path
    receipts: tuple[ArchiveReceipt, ...]
    contents: FolderContents | None = None  # of the folder that the spec names


def gather(
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    cache: Cache | None,
    progress: Progress,
    stall_seconds: float = STALL_SECONDS,
) -> Files:
    """Download and unpack the archives that are missing, or find the folder that the spec names.

    All archives are unpacked into the same tree. If two have a file of the same path, the later one is kept.

    `cache` keeps the digests of the folder's files.
    Raises UsageError (GATED, SOURCES, FOLDER_MISSING), BadDataError (FOLDER_CHANGED) and what downloading, unpacking
    and reading a folder raise.
    """
    archives = [source for source in spec.sources if not isinstance(source, FolderSource)]
    refuse_sources(spec)
    if spec.folder:
        contents = read_contents(find_folder(spec), cache, progress, stall_seconds)
        check_pin(spec, contents.digest)
        return Files(contents.root, receipts=(), contents=contents)
    sizes = [float(source.size_bytes or 1) for source in archives]
    receipts = []
    for index, source in enumerate(archives):
        start, part = sum(sizes[:index]) / sum(sizes), sizes[index] / sum(sizes)
        receipts.append(_archive(source, downloads, out, _share(progress, start, part)))
    return Files(out / AUDIO, receipts=tuple(receipts))


def _archive(source: HttpsSource | AptSource, downloads: Path, out: Path, progress: Progress) -> ArchiveReceipt:
    """Download and unpack one archive unless there is a receipt of it. Returns the receipt."""
    pin = Pin.of(source)
    path = out / RECEIPTS / f"{pin.digest}.json"
    if receipt := _read_receipt(path):
        return receipt
    if isinstance(source, AptSource):
        archive = fetch_apt(source, downloads, progress)
        name = f"{source.package} {source.version}"
    else:
        archive = fetch(source, downloads, progress)
        name = without_secrets(source.urls[0]).rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    require_room(out, int(UNPACKED_RATIO * archive.stat().st_size))
    # A package is pinned by sha256. So its links are known: they lead to fonts and documentation.
    limits = Limits(links="skip" if isinstance(source, AptSource) else "refuse")
    unpacked = unpack(archive, pin.format, out / AUDIO, limits)
    os.sync()  # all files must be on the disk before the receipt
    receipt = ArchiveReceipt(
        name=name,
        sha256=pin.digest if pin.algorithm == "sha256" else sha256_of(archive),
        pinned_by=pin.algorithm,
        bytes=archive.stat().st_size,
        files=len(unpacked.files),
        skipped_links=unpacked.skipped_links,
    )
    write_json(path, receipt.model_dump())
    return receipt


def _read_receipt(path: Path) -> ArchiveReceipt | None:
    """The receipt of an archive that an earlier attempt unpacked; None if there is none, or none that can be read."""
    try:
        return ArchiveReceipt.model_validate(read_json(path))
    except (FileNotFoundError, ValueError):
        return None


def _share(progress: Progress, start: float, part: float) -> Progress:
    """Progress of one archive as a part of the progress of all."""

    def report_share(done: float, total: float) -> None:
        progress(start + part * min(done / total, 1.0) if total else start, 1.0)

    return report_share
