"""The corpus stage: gather the files of one corpus, split them, and write the manifest."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NoReturn

from wavlm.corpus.archives import AUDIO, Files, gather, note_files
from wavlm.corpus.contents import FolderContents
from wavlm.corpus.digests import Cache
from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.corpus.first import Rows, begin, write_begun
from wavlm.corpus.growth.files import FileVersion, begin_files, files_until, follow_files, write_files
from wavlm.corpus.growth.generations import GenerationList
from wavlm.corpus.growth.write import write_list
from wavlm.corpus.later import Measuring, follow_generation, recall_generation, write_later
from wavlm.corpus.listing import LISTING, RecordingList
from wavlm.corpus.manifest import read_rule
from wavlm.corpus.measure import PARTS, FilesPart, Roots, measure_part, part_path
from wavlm.corpus.reading import Found, read_corpus
from wavlm.corpus.shared import GATHERED, GatheredFacts, find_gathered, note_gathered
from wavlm.corpus.sums import Sums, sum_manifest
from wavlm.corpus.targets import Labelled, write_labels
from wavlm.errors import CannotWriteError
from wavlm.execution.fence import STALL_SECONDS
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress
from wavlm.execution.share import ShareMade
from wavlm.specs import CorpusSpec
from wavlm.storage.locks import hold_lock
from wavlm.storage.parquet import lean_memory

logger = logging.getLogger(__name__)

GATHERING = 0.8  # the part of the progress bar for downloading and unpacking


def build_corpus(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    progress: Progress,
    cache: Cache | None = None,
    stall_seconds: float = STALL_SECONDS,
    workers: int = 1,
) -> CorpusFacts:
    """Fill `out` with the audio and the manifest. The bytes do not depend on earlier attempts, nor on a folder's place.

    `downloads` keeps the archives; all corpora share it. `cache` keeps the digests of a folder's files.
    `stall_seconds`: see `wavlm.execution.fence`. `workers`: processes that hash files and read headers.
    Raises BadDataError (DUP_KEY, CORPUS_EMPTY, LAYOUT, FILE_CHANGED, TARGETS), ServiceMissingError (STORAGE_STALLED),
    and what `wavlm.corpus.archives.gather` raises.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = gather(spec, downloads, out, cache, _early(progress), stall_seconds)
    with lean_memory():
        found = read_corpus(spec, files, out)
        roots = _roots_of(files, stall_seconds)
        if files.base is None:
            sums = _begin(spec, files, found.listing, roots, out, workers, progress)
        else:
            sums = _follow(spec, files, files.base, found.listing, roots, out, workers, progress)
        labels = Labelled(0, 0)
        if spec.role == "evaluation":
            labels = write_labels(out, found.listing.stream(), found.trials)
        if files.unpacked:
            note_files(files, out)
        if files.contents:
            write_files(out, _make_files(files.contents, files.base, _generation(spec)))
        facts = _facts(spec, sums, out, files, found).model_copy(update=labels._asdict())
    found.listing.path.unlink()
    (out / GATHERED).unlink(missing_ok=True)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return facts


def grow_corpus(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    progress: Progress,
    cache: Cache | None = None,
    stall_seconds: float = STALL_SECONDS,
    workers: int = 1,
) -> CorpusFacts:
    """Like `build_corpus`; then the list of generations beside the corpus spec says what was built.

    A list that cannot be written is a warning as long as nothing is lost: for a corpus that has not grown yet.
    Raises what `build_corpus` and `wavlm.corpus.growth.write.write_list` raise.
    """
    facts = build_corpus(spec, downloads, out, progress, cache, stall_seconds, workers)
    try:
        write_list(spec, out)
    except CannotWriteError as error:
        if error.code != "GENERATIONS_CLOSED" or facts.generation > 1:
            raise
        logger.warning("%s: what comes into its folder later will make a corpus of its own: %s", spec.name, error)
    return facts


def share_corpus(  # noqa: PLR0913  what, from where, to where, how
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    progress: Progress,
    *,
    lock: Path,
    cache: Cache | None = None,
    workers: int = 1,
) -> NoReturn:
    """Look at a share of the files of a corpus, beside other processes, of which the first gathers them for all.

    Raises ShareMade in the end, LockedError while another process gathers, and what `build_corpus` raises.
    """
    gathered = find_gathered(out)
    if gathered is None:
        with hold_lock(lock, f"the list of the files of {spec.name}"):
            gathered = find_gathered(out) or _gather_for_all(spec, downloads, out, progress, cache)
    if not gathered.num_parts:
        raise ShareMade(0, 0)
    with lean_memory():
        _look(RecordingList(out / LISTING), gathered.roots(STALL_SECONDS), out, workers, progress)
    raise AssertionError("the executor of shares raises ShareMade")


def _gather_for_all(
    spec: CorpusSpec, downloads: Path, out: Path, progress: Progress, cache: Cache | None
) -> GatheredFacts:
    out.mkdir(parents=True, exist_ok=True)
    files = gather(spec, downloads, out, cache, _early(progress))
    with lean_memory():
        found = read_corpus(spec, files, out)
    return note_gathered(out, _roots_of(files, STALL_SECONDS), 0 if files.base else found.listing.num_parts)


def _early(progress: Progress) -> Progress:
    return lambda done, total: progress(GATHERING * done, total)


def _roots_of(files: Files, stall_seconds: float) -> Roots:
    return Roots(files.root, files.archives, PurePosixPath("" if files.contents else AUDIO), stall_seconds)


def _generation(spec: CorpusSpec) -> int:
    return spec.folder.generation if spec.folder else 1


def _begin(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    spec: CorpusSpec, files: Files, listing: RecordingList, roots: Roots, out: Path, workers: int, progress: Progress
) -> Sums:
    """Look at all files of a corpus, in parts, and write its first generation."""
    _look(listing, roots, out, workers, progress)
    rows = Rows(out, listing.num_parts)
    begun = begin(spec, rows, files.root)
    return write_begun(spec, rows, begun, with_history=files.contents is not None)


def _look(listing: RecordingList, roots: Roots, out: Path, workers: int, progress: Progress) -> None:
    count = listing.num_parts
    (out / PARTS).mkdir(exist_ok=True)
    parts = [FilesPart(listing.path, number, part_path(out, number)) for number in range(count)]
    run_parts(
        parts,
        partial(measure_part, roots=roots),
        min(workers, count),
        _share(progress),
    )


def _follow(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    spec: CorpusSpec,
    files: Files,
    base: GenerationList,
    listing: RecordingList,
    roots: Roots,
    out: Path,
    workers: int,
    progress: Progress,
) -> Sums:
    """Write a generation of a corpus that grows. Only files that came or were changed are opened."""
    number = _generation(spec)
    if base.latest >= number:
        is_changed = files.contents is not None and base.facts.content != files.contents.digest
        later = recall_generation(spec, base.history, number, listing, is_changed=is_changed)
    else:
        measuring = Measuring(roots, out, workers, _share(progress))
        later = follow_generation(spec, base.history, number, listing, measuring)
    return write_later(spec, base.history, number, later, listing, out)


def _share(progress: Progress) -> Progress:
    """The progress of measuring, as a part of all."""
    return lambda done, total: progress(GATHERING + (1 - GATHERING) * done / max(1, total), 1.0)


def _make_files(contents: FolderContents, base: GenerationList | None, number: int) -> Iterable[FileVersion]:
    """All versions of the files of a folder, up to a generation."""
    if base is None:
        return begin_files(contents.entries)
    if base.latest >= number:
        return files_until(base.stream_files(), number)
    changes = base.changes(contents).entries
    came = {path: entry for path, (change, entry) in changes.items() if change != "-"}
    return follow_files(base.stream_files(), changes, came, number)


def _facts(spec: CorpusSpec, sums: Sums, out: Path, files: Files, found: Found) -> CorpusFacts:
    manifest = sum_manifest(out)
    if manifest.copies:
        logger.warning("%s: %d recordings are copies of others", spec.name, manifest.copies)
    sums.warn(spec.name)
    rule = read_rule(out)
    return CorpusFacts(
        role=spec.role,
        utterances=manifest.recordings,
        speakers=manifest.speakers,
        hours=Amount(recordings=manifest.recordings, microseconds=manifest.microseconds).hours,
        without_header=manifest.without_header,
        with_text=manifest.with_text,
        with_phones=manifest.with_phones,
        split_rule=rule.by,
        split_below=rule.below,
        valid_utterances=sums.of("valid").recordings,
        valid_hours=sums.of("valid").hours,
        found=sums.found,
        train=sums.of("train"),
        valid=sums.of("valid"),
        excluded=sums.excluded,
        duplicate_contents=manifest.copies,
        content=files.contents.digest if files.contents else None,
        generation=_generation(spec),
        archives=files.receipts,
        files=found.files,
        tables=found.tables,
        hours_per_language=manifest.hours_per_language,
    )
