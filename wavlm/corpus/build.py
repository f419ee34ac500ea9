"""The corpus stage: gather the files of one corpus, split them, and write the manifest."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from wavlm.corpus.archives import AUDIO, Files, gather, note_files
from wavlm.corpus.audio.file_bytes import Place
from wavlm.corpus.audio.reason import AudioError
from wavlm.corpus.audio.stream import probe_in_steps
from wavlm.corpus.contents import FolderContents, hash_fenced
from wavlm.corpus.digests import Cache
from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.corpus.growth.follow import (
    COPY_OF_VALID,
    OVERLAPS_VALID,
    REGION_TWICE,
    begin,
    begin_files,
    follow,
    follow_files,
    rows_of,
)
from wavlm.corpus.growth.generations import GenerationList
from wavlm.corpus.growth.history import FileVersion, History, Version, until, write_files, write_history
from wavlm.corpus.growth.match import TEST_SPLIT, Present, recall
from wavlm.corpus.growth.write import write_list
from wavlm.corpus.layouts import Reading, Recording
from wavlm.corpus.manifest import MANIFEST, Content, ManifestRow, write_manifest
from wavlm.corpus.reading import read_corpus
from wavlm.corpus.regions import find_passage
from wavlm.corpus.split import all_in_test, split
from wavlm.errors import CannotWriteError
from wavlm.execution.fence import STALL_SECONDS, FencePool, LostCallError
from wavlm.execution.progress import Progress
from wavlm.specs import CorpusSpec

logger = logging.getLogger(__name__)

THREADS = 4  # hashing and reading headers wait for the disk and release the GIL
FENCED_MODULES = ("wavlm.corpus.audio.stream",)  # needed there; a crash of a decoder ends one file, not the stage
GATHERING = 0.8  # the part of the progress bar for downloading and unpacking


def build_corpus(
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    progress: Progress,
    cache: Cache | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> CorpusFacts:
    """Fill `out` with the audio and the manifest. The bytes do not depend on earlier attempts, nor on a folder's place.

    `downloads` keeps the archives; all corpora share it. `cache` keeps the digests of a folder's files.
    `stall_seconds`: see `wavlm.execution.fence`.
    Raises BadDataError (DUP_KEY, CORPUS_EMPTY, LAYOUT, FILE_CHANGED), ServiceMissingError (STORAGE_STALLED), and what
    `wavlm.corpus.archives.gather` raises.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = gather(spec, downloads, out, cache, lambda done, total: progress(GATHERING * done, total), stall_seconds)
    reading = read_corpus(spec, files)
    recordings = [replace(item, language=item.language or spec.language or None) for item in reading.recordings]
    history, present = _make_history(spec, files, recordings, stall_seconds, progress)
    generation = _generation(spec)
    rows = rows_of(history, generation, present)
    write_manifest(out / MANIFEST, rows, spec.name, history.rule, history.below)
    if files.unpacked:
        note_files(files, out)
    if files.contents:
        write_history(out, history)
        write_files(out, _make_files(files.contents, files.base, generation))
    return _facts(spec, rows, history, files, reading)


def grow_corpus(
    spec: CorpusSpec,
    downloads: Path,
    out: Path,
    progress: Progress,
    cache: Cache | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> CorpusFacts:
    """Like `build_corpus`; then the list of generations beside the corpus spec says what was built.

    A list that cannot be written is a warning as long as nothing is lost: for a corpus that has not grown yet.
    Raises what `build_corpus` and `wavlm.corpus.growth.write.write_list` raise.
    """
    facts = build_corpus(spec, downloads, out, progress, cache, stall_seconds)
    try:
        write_list(spec, out)
    except CannotWriteError as error:
        if error.code != "GENERATIONS_CLOSED" or facts.generation > 1:
            raise
        logger.warning("%s: what comes into its folder later will make a corpus of its own: %s", spec.name, error)
    return facts


def _generation(spec: CorpusSpec) -> int:
    return spec.folder.generation if spec.folder else 1


def _make_history(
    spec: CorpusSpec, files: Files, recordings: Sequence[Recording], stall_seconds: float, progress: Progress
) -> tuple[History, Sequence[Present]]:
    """All versions of the recordings of a corpus up to the generation of the spec, and those that are there now."""
    number, base = _generation(spec), files.base

    def measure(chosen: Sequence[Recording]) -> list[ManifestRow]:
        return _make_rows(
            chosen, files, stall_seconds, lambda share: progress(GATHERING + (1 - GATHERING) * share, 1.0)
        )

    if base is None:
        rows = measure(recordings)
        present = [Present(item, row.sha256) for item, row in zip(recordings, rows, strict=True)]
        return _begin(spec, files, present, rows), present
    assert files.contents is not None  # noqa: S101 - only a folder has a list
    sha256s = {path: files.sha256_of(path) or "" for path in dict.fromkeys(item.path for item in recordings)}
    present = [Present(item, sha256s[item.path]) for item in recordings]
    if base.latest >= number:
        here = {item.recording.key: item.row for item in present}
        is_changed = base.facts.content != files.contents.digest
        recall(base.history, number, here, spec, is_changed=is_changed)
        return base.history.until(number), present
    return follow(spec, base.history, number, present, measure), present


def _begin(spec: CorpusSpec, files: Files, present: Sequence[Present], rows: Sequence[ManifestRow]) -> History:
    """The history of the first generation."""
    split_of = {item.recording.key: item.recording.split for item in present}
    test = [row for row in rows if split_of[row.key] == "test"]
    wanted, repeats = _without_repeats(row for row in rows if split_of[row.key] != "test")
    if not wanted:
        raise all_in_test(spec.name, len(test), files.root)
    made = split(wanted, spec, frozenset(row.key for row in wanted if split_of[row.key] == "valid"))
    excluded = {
        TEST_SPLIT: test,
        REGION_TWICE: repeats,
        COPY_OF_VALID: made.copies,
        OVERLAPS_VALID: made.overlaps,
    }
    return begin(made, excluded, present)


def _make_files(contents: FolderContents, base: GenerationList | None, number: int) -> list[FileVersion]:
    """All versions of the files of a folder, up to a generation."""
    if base is None:
        return begin_files(contents.entries)
    if base.latest >= number:
        return until(base.files, number)
    return follow_files(base.files, base.changes(contents), number)


def _make_rows(
    recordings: Sequence[Recording], files: Files, stall_seconds: float, progress: Callable[[float], None]
) -> list[ManifestRow]:
    """A row per recording. Each file is looked at once, however many regions it has."""
    names = list(dict.fromkeys(recording.path for recording in recordings))
    found: dict[PurePosixPath, _File] = {}
    with FencePool(THREADS, stall_seconds, FENCED_MODULES) as fences, ThreadPoolExecutor(THREADS) as pool:
        for name, file in zip(names, pool.map(partial(_read_file, files=files, fences=fences), names), strict=True):
            found[name] = file
            progress(len(found) / len(names))
    return [_row(recording, found[recording.path]) for recording in recordings]


@dataclass(frozen=True)
class _File:
    """What is known of an audio file. All its regions share it."""

    shown: str  # its path as the manifest spells it
    size_bytes: int
    sha256: str
    sample_rate_hz: int
    num_samples: int


def _read_file(name: PurePosixPath, files: Files, fences: FencePool) -> _File:
    place, unpacked = files.place_of(name), files.unpacked.get(str(name))
    if unpacked:  # digested as it was read from its archive; the shards stage compares what it decodes
        sha256, size = unpacked.sha256, unpacked.bytes
    else:
        path = files.root / name
        known = files.sha256_of(name) if files.in_place else None
        sha256, size = known or hash_fenced(path, fences), path.stat().st_size
    if unpacked and unpacked.rate_hz:  # measured as it was unpacked
        rate, samples = unpacked.rate_hz, unpacked.num_samples
    else:
        rate, samples = _measure(place, fences)
    shown = name if files.contents else PurePosixPath(AUDIO) / name
    return _File(str(shown), size, sha256, rate, samples)


def _row(recording: Recording, file: _File) -> ManifestRow:
    passage = find_passage(recording.start_s, recording.end_s, max(0, file.num_samples), file.sample_rate_hz)
    return ManifestRow(
        key=recording.key,
        path=file.shown,
        speaker=recording.speaker,
        split="train",
        text=recording.text,
        phones=recording.phones,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        sample_rate_hz=file.sample_rate_hz,
        num_samples=passage.samples if file.num_samples >= 0 else file.num_samples,
        start_s=recording.start_s,
        end_s=recording.end_s,
        channel=recording.channel,
        language=recording.language,
    )


def _without_repeats(rows: Iterable[ManifestRow]) -> tuple[list[ManifestRow], list[ManifestRow]]:
    """The rows, and those that name a region of a file that an earlier row has named."""
    first: dict[tuple[str, Content], ManifestRow] = {}
    repeats = [row for row in rows if first.setdefault((row.path, row.content), row) is not row]
    return list(first.values()), repeats


def _measure(path: Place, fences: FencePool) -> tuple[int, int]:
    """Sample rate in Hz and samples per channel; (-1, -1) for a file that the shards stage will refuse."""
    try:
        info = fences.finish(probe_in_steps, path)
    except (AudioError, LostCallError):
        return -1, -1
    assert info is not None  # noqa: S101 - it comes last
    return info.sample_rate_hz, info.num_samples


def _facts(
    spec: CorpusSpec, rows: Sequence[ManifestRow], history: History, files: Files, reading: Reading
) -> CorpusFacts:
    here = history.at(_generation(spec))
    excluded = {why: [item for item in here if item.split == why] for why in sorted({it.split for it in here})}
    train, valid = (excluded.pop(name, []) for name in ("train", "valid"))
    copies = len(rows) - len({row.content for row in rows})
    if copies:
        logger.warning("%s: %d recordings are copies of others", spec.name, copies)
    for reason in set(excluded) - {TEST_SPLIT}:
        keys = [item.key for item in excluded[reason]]
        logger.warning("%s: %d recordings are left out (%s): %s", spec.name, len(keys), reason, _examples(keys))
    return CorpusFacts(
        role=spec.role,
        utterances=len(rows),
        speakers=len({row.speaker for row in rows}),
        hours=_amount(rows).hours,
        without_header=sum(row.num_samples < 0 for row in rows),
        with_text=sum(row.text is not None for row in rows),
        with_phones=sum(row.phones is not None for row in rows),
        split_rule=history.rule,
        split_below=history.below,
        valid_utterances=len(valid),
        valid_hours=_amount(valid).hours,
        found=_amount(here),
        train=_amount(train),
        valid=_amount(valid),
        excluded={why: _amount(left) for why, left in excluded.items()},
        duplicate_contents=copies,
        content=files.contents.digest if files.contents else None,
        generation=_generation(spec),
        archives=files.receipts,
        files=reading.files,
        tables=reading.tables,
        hours_per_language=_hours_per_language(rows),
    )


def _examples(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")


def _amount(rows: Sequence[ManifestRow | Version]) -> Amount:
    return Amount(recordings=len(rows), microseconds=sum(row.microseconds for row in rows))


def _hours_per_language(rows: Sequence[ManifestRow]) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        if row.language:
            seconds[row.language] += row.seconds
    return {language: round(seconds[language] / 3600, 4) for language in sorted(seconds)}
