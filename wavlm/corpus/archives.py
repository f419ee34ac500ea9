"""Gather the files of a corpus: download and unpack its archives, or use the folder that the spec names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wavlm.corpus.containers import unpack_containers
from wavlm.corpus.contents import FolderContents, Outside, audio_root, find_folder, read_contents
from wavlm.corpus.digests import Cache
from wavlm.corpus.download import Pin, fetch, fetch_apt
from wavlm.corpus.download.pin import require_room
from wavlm.corpus.facts import ArchiveReceipt
from wavlm.corpus.growth.generations import GenerationList, find_base
from wavlm.corpus.layouts import CONTAINERS
from wavlm.corpus.sources import refuse_sources
from wavlm.corpus.unpack import Limits, UnpackedFile, unpack
from wavlm.corpus.unpacked import Unpacked, merge, read_unpacked, refuse_strays, write_unpacked
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.progress import Progress
from wavlm.specs import AptSource, CorpusSpec, FolderSource, HttpsSource
from wavlm.storage.files import sha256_of

AUDIO = "audio"
RECEIPTS = "archives"

# Free space required before unpacking, as a multiple of the archive's size. Measured: 1.0 (LibriSpeech) to 1.4.
UNPACKED_RATIO = 1.5


@dataclass(frozen=True)
class Files:
    """The folder of a corpus' files, and one receipt per archive or container."""

    root: Path  # where the paths of recordings start
    receipts: tuple[ArchiveReceipt, ...]
    contents: FolderContents | None = None  # of the folder that the spec names
    base: GenerationList | None = None  # of a folder whose generations are listed
    unpacked: Mapping[str, UnpackedFile] = field(
        default_factory=dict
    )  # of archives and containers, by path below `root`

    @property
    def in_place(self) -> FolderContents | None:
        """The folder that is read in place; None if its containers, or archives, were unpacked."""
        return None if self.receipts else self.contents

    def sha256_of(self, path: PurePosixPath) -> str | None:
        """The digest of a file of audio of a folder or of its containers; None for one of archives.

        Raises BadDataError (FILE_CHANGED) if it is not as it was when the folder was read.
        """
        if self.in_place:
            return self.in_place.sha256_of_audio(str(path))
        return self.unpacked[str(path)].sha256 if self.contents else None


def gather(
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    cache: Cache | None,
    progress: Progress,
    stall_seconds: float = STALL_SECONDS,
) -> Files:
    """Download and unpack the archives that are missing, or find the folder that the spec names.

    All archives are unpacked into the same tree. If two have a file of the same path, the later one is kept. An archive
    that an earlier attempt unpacked is unpacked again unless each of its files is as it was.

    `cache` keeps the digests of the folder's files.
    Raises UsageError (GATED, SOURCES, FOLDER_MISSING), BadDataError (FOLDER_CHANGED, FILE_STRAY) and what downloading,
    unpacking and reading a folder raise.
    """
    archives = [source for source in spec.sources if not isinstance(source, FolderSource)]
    refuse_sources(spec)
    if spec.folder:
        contents = read_contents(find_folder(spec), cache, progress, stall_seconds, Outside.of(spec))
        base = find_base(spec, contents)
        if type(spec.layout) not in CONTAINERS:
            return Files(audio_root(spec, out), receipts=(), contents=contents, base=base)
        containers = unpack_containers(spec.layout, contents, out / AUDIO, out / RECEIPTS, progress)
        inside = {f"{AUDIO}/{name}": file for name, file in merge(containers).items()}
        return Files(out, tuple(one.receipt for one in containers), contents, base, inside)
    sizes = [float(source.size_bytes or 1) for source in archives]
    earlier = [read_unpacked(_receipt_of(source, out)) for source in archives]
    unpacked = []
    for index, source in enumerate(archives):
        start, part = sum(sizes[:index]) / sum(sizes), sizes[index] / sum(sizes)
        known = earlier[index]
        if not (known and known.is_whole(out / AUDIO, replaced=merge(filter(None, earlier[index + 1 :])))):
            known = _archive(source, downloads, out, _share(progress, start, part))
        unpacked.append(known)
    refuse_strays(out / AUDIO, unpacked)
    return Files(out / AUDIO, receipts=tuple(one.receipt for one in unpacked), unpacked=merge(unpacked))


def _receipt_of(source: HttpsSource | AptSource, out: Path) -> Path:
    return out / RECEIPTS / f"{Pin.of(source).digest}.json"


def _archive(source: HttpsSource | AptSource, downloads: Path, out: Path, progress: Progress) -> Unpacked:
    """Download and unpack one archive, and write its receipt."""
    pin, path = Pin.of(source), _receipt_of(source, out)
    if isinstance(source, AptSource):
        archive = fetch_apt(source, downloads, progress)
        name = f"{source.package} {source.version}"
    else:
        archive = fetch(source, downloads, progress)
        name = without_secrets_in(source.urls[0]).rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    require_room(out, int(UNPACKED_RATIO * archive.stat().st_size))
    # A package is pinned by sha256. So its links are known: they lead to fonts and documentation.
    limits = Limits(links="skip" if isinstance(source, AptSource) else "refuse")
    found = unpack(archive, pin.format, out / AUDIO, limits)
    os.sync()  # all files must be on the disk before the receipt
    receipt = ArchiveReceipt(
        name=name,
        sha256=pin.digest if pin.algorithm == "sha256" else sha256_of(archive),
        pinned_by=pin.algorithm,
        bytes=archive.stat().st_size,
        files=len(found.files),
        skipped_links=found.skipped_links,
    )
    unpacked = Unpacked(receipt=receipt, files=dict(found.files))
    write_unpacked(path, unpacked)
    return unpacked


def _share(progress: Progress, start: float, part: float) -> Progress:
    """Progress of one archive as a part of the progress of all."""

    def report_share(done: float, total: float) -> None:
        progress(start + part * min(done / total, 1.0) if total else start, 1.0)

    return report_share
