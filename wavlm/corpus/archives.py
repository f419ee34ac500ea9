"""Gather the files of a corpus: download and unpack its archives, or use the folder that the spec names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wavlm.corpus.download import Pin, fetch, fetch_apt
from wavlm.corpus.download.pin import require_room
from wavlm.corpus.facts import ArchiveReceipt
from wavlm.corpus.sources import refuse_sources
from wavlm.corpus.unpack import Limits, unpack
from wavlm.errors import UsageError
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
    is_own_folder: bool  # named by the spec, not unpacked from archives
    receipts: tuple[ArchiveReceipt, ...]


def gather(spec: CorpusSpec, downloads: Path, out: Path, progress: Progress) -> Files:
    """Download and unpack the archives that are missing, or find the folder that the spec names.

    All archives are unpacked into the same tree. If two have a file of the same path, the later one is kept.

    Raises UsageError (GATED, SOURCES, FOLDER_MISSING) and what downloading and unpacking raise.
    """
    folders = [source for source in spec.sources if isinstance(source, FolderSource)]
    archives = [source for source in spec.sources if not isinstance(source, FolderSource)]
    refuse_sources(spec)
    if folders:
        return Files(_folder(folders[0], spec), is_own_folder=True, receipts=())
    sizes = [float(source.size_bytes or 1) for source in archives]
    receipts = []
    for index, source in enumerate(archives):
        start, part = sum(sizes[:index]) / sum(sizes), sizes[index] / sum(sizes)
        receipts.append(_archive(source, downloads, out, _share(progress, start, part)))
    return Files(out / AUDIO, is_own_folder=False, receipts=tuple(receipts))


def _archive(source: HttpsSource | AptSource, downloads: Path, out: Path, progress: Progress) -> ArchiveReceipt:
    """Download and unpack one archive unless there is a receipt of it. Returns the receipt."""
    pin = Pin.of(source)
    path = out / RECEIPTS / f"{pin.digest}.json"
    if path.exists():
        return ArchiveReceipt.model_validate(read_json(path))
    if isinstance(source, AptSource):
        archive = fetch_apt(source, downloads, progress)
        name = f"{source.package} {source.version}"
    else:
        archive = fetch(source, downloads, progress)
        name = source.urls[0].rpartition("/")[2]
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


def _folder(source: FolderSource, spec: CorpusSpec) -> Path:
    folder = Path(source.path).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(
            "FOLDER_MISSING",
            f"the folder of {spec.name} does not exist; at {folder}; put the corpus "
            f"there (see {spec.homepage}) or correct the path in the corpus spec",
        )
    return folder


def _share(progress: Progress, start: float, part: float) -> Progress:
    """Progress of one archive as a part of the progress of all."""

    def report_share(done: float, total: float) -> None:
        progress(start + part * min(done / total, 1.0) if total else start, 1.0)

    return report_share
