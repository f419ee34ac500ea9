"""Gather the files of a corpus: download and unpack its archives, or use the folder that the spec names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wavlm.corpus.audio.file_bytes import Inside, Place
from wavlm.corpus.containers import open_container, unpack_containers
from wavlm.corpus.contents import FolderContents, Outside, audio_root, find_folder, read_contents
from wavlm.corpus.digests import Cache
from wavlm.corpus.download import Credentials, Pin, fetch, fetch_apt, read_credentials
from wavlm.corpus.download.listed import with_listed
from wavlm.corpus.download.noted import list_missing
from wavlm.corpus.download.pin import is_present, require_room
from wavlm.corpus.facts import ArchiveReceipt
from wavlm.corpus.growth.generations import GenerationList, find_base
from wavlm.corpus.inside import Left, write_places
from wavlm.corpus.layouts import CONTAINERS
from wavlm.corpus.layouts.sounds import AUDIO_SUFFIXES, suffix_of
from wavlm.corpus.made.archive import make_archive
from wavlm.corpus.sources import refuse_sources
from wavlm.corpus.unpack import Limits, UnpackedFile, Unpacking, no_member, unpack
from wavlm.corpus.unpacked import Unpacked, merge, read_unpacked, refuse_strays, write_unpacked
from wavlm.errors import BadDataError
from wavlm.errors.secrets import without_secrets_in
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.progress import Progress, no_progress
from wavlm.specs import AptSource, Archive, CorpusSpec, FolderSource, HttpsSource, MadeSource
from wavlm.storage.files import sha256_of, sync_disk
from wavlm.storage.known import KnownFile, note_known

logger = logging.getLogger(__name__)

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
    archives: Path | None = None  # where archives lie that files were left in

    @property
    def in_place(self) -> FolderContents | None:
        """The folder that is read in place; None if its containers, or archives, were unpacked."""
        return None if self.receipts else self.contents

    @property
    def left(self) -> Mapping[str, int]:
        """Files that were left in their archives, by path below `root`, with their sizes."""
        return {name: file.bytes for name, file in self.unpacked.items() if file.is_left}

    def place_of(self, path: PurePosixPath) -> Place:
        """Where the bytes of a file are: below `root`, or in an archive."""
        file = self.unpacked.get(str(path))
        if file is None or not file.is_left or self.archives is None:
            return self.root / path
        return Inside(self.archives / file.archive, file.offset, file.bytes, path.name)

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
    refuse_sources(spec)
    if spec.folder:
        contents = read_contents(find_folder(spec), cache, progress, stall_seconds, Outside.of(spec))
        base = find_base(spec, contents)
        if type(spec.layout) not in CONTAINERS:
            return Files(audio_root(spec, out), receipts=(), contents=contents, base=base)
        containers = unpack_containers(spec.layout, contents, out / AUDIO, out / RECEIPTS, progress)
        inside = {f"{AUDIO}/{name}": file for name, file in merge(containers).items()}
        return Files(out, tuple(one.receipt for one in containers), contents, base, inside)
    credentials = read_credentials(spec)
    list_missing(spec.unpinned, downloads)
    archives = _all_archives(spec, downloads, credentials)
    sizes = [float(source.size_bytes or 1) for source in archives]
    earlier = [read_unpacked(_receipt_of(source, out)) for source in archives]
    unpacked = []
    for index, source in enumerate(archives):
        start, part = sum(sizes[:index]) / sum(sizes), sizes[index] / sum(sizes)
        known, replaced = earlier[index], merge(filter(None, earlier[index + 1 :]))
        if not (known and _is_usable(known, spec) and known.is_whole(out / AUDIO, replaced, downloads / _name(source))):
            job = _Job(spec, source, downloads, out, credentials)
            known = job.unpack(_share(progress, start, part))
        unpacked.append(known)
    refuse_strays(out / AUDIO, unpacked)
    receipts = tuple(one.receipt for one in unpacked)
    return Files(out / AUDIO, receipts=receipts, unpacked=merge(unpacked), archives=downloads)


def _all_archives(spec: CorpusSpec, downloads: Path, credentials: Credentials) -> tuple[Archive, ...]:
    """The archives of a corpus, with those that its publisher's lists name. The lists are downloaded."""
    archives = [source for source in spec.sources if not isinstance(source, FolderSource)]
    for source in archives:
        if isinstance(source, HttpsSource) and source.lists != "nothing":
            fetch(source, downloads, no_progress, None, credentials)
    return with_listed(archives, downloads)


def _name(source: Archive) -> str:
    return Pin.of(source).name


def _is_usable(known: Unpacked, spec: CorpusSpec) -> bool:
    """Whether what an earlier attempt left in archives may stay there."""
    return _leaves(spec) or not known.has_left


def _leaves(spec: CorpusSpec) -> bool:
    """Whether audio stays in archives that can be read at any place."""
    return spec.keep in ("none", "archives") and type(spec.layout) not in CONTAINERS


def _receipt_of(source: Archive, out: Path) -> Path:
    return out / RECEIPTS / f"{Pin.of(source).digest}.json"


@dataclass(frozen=True)
class _Job:
    """One archive, on its way into the folder of a corpus."""

    spec: CorpusSpec
    source: Archive
    downloads: Path
    out: Path
    credentials: Credentials

    def unpack(self, progress: Progress) -> Unpacked:
        """Download and unpack the archive, and write its receipt. One on the disk with wrong bytes is fetched again."""
        path = _receipt_of(self.source, self.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        archive = self._fetch(progress)
        try:
            unpacked = self._unpack(archive)
        except BadDataError:
            if not self._is_damaged(archive):
                raise
            logger.warning("%s: %s has other bytes than it had; it is fetched again", self.spec.name, archive)
            unpacked = self._unpack(self._fetch(progress))
        sync_disk(self.out)  # all files must be on the disk before the receipt
        write_unpacked(path, unpacked)
        return unpacked

    def _fetch(self, progress: Progress) -> Path:
        """The archive. One that is there is compared with its digest when it is read, and not now."""
        if isinstance(self.source, AptSource):
            return fetch_apt(self.source, self.downloads, progress, hashes=False)
        if isinstance(self.source, MadeSource):
            return make_archive(self.source, self.downloads, progress, hashes=False)
        is_read_once = type(self.spec.layout) not in CONTAINERS
        return fetch(self.source, self.downloads, progress, None, self.credentials, hashes=not is_read_once)

    def _unpack(self, archive: Path) -> Unpacked:
        source, pin, size = self.source, Pin.of(self.source), archive.stat().st_size
        leaves = _leaves(self.spec) and pin.format == "tar"
        require_room(self.out, 0 if leaves else int(UNPACKED_RATIO * size))
        if type(self.spec.layout) in CONTAINERS and isinstance(source, HttpsSource):
            found = open_container(self.spec.layout, archive, PurePosixPath(source.to), self.out / AUDIO)
            sha256 = source.sha256 or sha256_of(archive)
        else:
            # A package is pinned by sha256. So its links are known: they lead to fonts and documentation.
            limits = Limits(links="skip" if isinstance(source, AptSource) else "refuse")
            form = source.format if isinstance(source, HttpsSource) else pin.format  # of what is encrypted, too
            found = unpack(archive, form, self.out / AUDIO, limits, self._how(leaves=leaves))
            assert found.digests is not None  # noqa: S101 - `unpack` computes them
            pin.check_digest(getattr(found.digests, pin.algorithm), archive)
            sha256 = found.digests.sha256
        receipt = ArchiveReceipt(
            name=self._shown,
            sha256=sha256,
            pinned_by=pin.algorithm,
            bytes=size,
            files=len(found.files),
            skipped_links=found.skipped_links,
        )
        files = {
            name: file.model_copy(update={"archive": archive.name}) if file.is_left else file
            for name, file in found.files.items()
        }
        return Unpacked(receipt=receipt, files=files)

    def _how(self, *, leaves: bool) -> Unpacking:
        if not isinstance(self.source, HttpsSource):
            return Unpacking(stays=is_audio if leaves else no_member)
        password = self.credentials.password if self.source.encryption != "none" else ""
        return Unpacking(self.source.to, password, is_audio if leaves else no_member)

    def _is_damaged(self, archive: Path) -> bool:
        """Whether an archive on the disk has other bytes than its pin says; it is renamed then. Reads all of it."""
        return not is_present(archive, Pin.of(self.source))

    @property
    def _shown(self) -> str:
        if isinstance(self.source, AptSource):
            return f"{self.source.package} {self.source.version}"
        if isinstance(self.source, MadeSource):
            return f"espeak-ng {self.source.version}"
        return without_secrets_in(self.source.urls[0]).rpartition("/")[2]


def is_audio(path: PurePosixPath) -> bool:
    """Whether a member is named as audio, and can stay in its archive. Its side files are always unpacked."""
    return suffix_of(path.name) in AUDIO_SUFFIXES and not any(part.startswith(".") for part in path.parts)


def note_files(files: Files, out: Path) -> None:
    """Note what is known of the unpacked files, for those that seal and read the folder: digests and places.

    `out`: the folder of the corpus.
    """
    above = files.root.relative_to(out)
    paths = {name: (above / name).as_posix() for name in files.unpacked}
    note_known(
        out, [KnownFile(paths[name], one.sha256, one.bytes, one.is_left) for name, one in files.unpacked.items()]
    )
    left = ((name, one) for name, one in files.unpacked.items() if one.is_left)
    write_places(out, [Left(paths[name], one.archive, one.offset, one.bytes) for name, one in left])


def _share(progress: Progress, start: float, part: float) -> Progress:
    """Progress of one archive as a part of the progress of all."""

    def report_share(done: float, total: float) -> None:
        progress(start + part * min(done / total, 1.0) if total else start, 1.0)

    return report_share
