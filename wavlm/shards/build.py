"""The shards stage: pack a corpus into tars, an index, and a list of the recordings that are not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from wavlm.errors import BadDataError
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress
from wavlm.shards.account import EXCLUDED, Account, add_up
from wavlm.shards.books import COLUMNS, Books, ManifestBooks, add_counts
from wavlm.shards.contents import write_contents
from wavlm.shards.coverage import Coverage
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.part import build_part
from wavlm.shards.plan import write_plan
from wavlm.shards.record import RECORDS, SUFFIX, PartRecord, PartRows, read_rows, record_path
from wavlm.shards.recordings import MEAN_OF_SPEECH, Intake
from wavlm.shards.rejects import rejects_path, write_rejects
from wavlm.shards.reuse import take_parts
from wavlm.specs import ShardSpec
from wavlm.storage.files import remove_noted
from wavlm.storage.known import KnownFile, note_known
from wavlm.storage.parquet import lean_memory

# A process takes 2 s of CPU to start, because webdataset imports torch. In 2 s it packs 2,000 s of audio.
SECONDS_PER_WORKER = 3600


class TooManyRejectsError(BadDataError):
    """More recordings are bad than the spec allows."""


def build_shards(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    spec: ShardSpec,
    corpus_dir: Path,
    out: Path,
    workers: int,
    progress: Progress,
    intake: Intake = MEAN_OF_SPEECH,
    siblings: Iterable[Path] = (),
) -> ShardsFacts:
    """Fill `out` with the shards of a corpus.

    The bytes do not depend on earlier attempts or on the number of workers. A part whose recordings are all
    rejected gives no tar, and its number stays unused.

    `siblings`: complete folders of shards of the same corpus, of which parts are taken over that have the same inputs.

    Raises TooManyRejectsError above `max_rejected`, after the rejects were written, and BadDataError:
    SHARDS_EMPTY for a corpus that gives no utterance, DUP_KEY, KEY_BAD, FILE_CHANGED. Raises ServiceMissingError
    (STORAGE_STALLED) if the disk of the recordings does not answer.
    """
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    with lean_memory():
        parts = write_plan(corpus_dir, spec, out)
    _remove_others({part.stem for part in parts}, out)
    work = partial(build_part, spec=spec, intake=intake, corpus_dir=corpus_dir, out=out)
    taken = take_parts(parts, spec, intake, siblings, out)
    todo = [part for part in parts if part.stem not in taken]
    enough = max(1, int(sum(part.seconds for part in todo) / SECONDS_PER_WORKER))
    made = {record.stem: record for record in run_parts(todo, work, min(workers, enough), progress)}
    records = [made.get(part.stem) or taken[part.stem] for part in parts]
    note_known(out, [KnownFile(one.shard, one.sha256, one.size_bytes) for one in records if one.sha256])
    with lean_memory():
        facts = _finish(spec, intake, corpus_dir, out, records)
    return facts.model_copy(update={"parts_reused": len(taken)})


def _finish(spec: ShardSpec, intake: Intake, corpus_dir: Path, out: Path, records: Sequence[PartRecord]) -> ShardsFacts:
    """Write what is in the folder, part by part, and compare it with the manifest."""
    from wavlm.corpus.manifest import num_recordings, stream_manifest

    count = num_recordings(corpus_dir)
    bad = (record for record in records if record.rejected or record.rejected_pieces)
    write_rejects(out, (reject for record in bad for reject in _rows_of(record, out).rejects))
    _check_rejects(add_counts(record.rejected for record in records), count, spec, out)
    account, books = add_up([record.account for record in records]), Books(spec.sample_rate_hz)
    manifest = ManifestBooks(stream_manifest(corpus_dir, COLUMNS), count)

    def read_parts() -> Iterator[tuple[PartRecord, pa.Table]]:
        for record in records:
            rows = _rows_of(record, out)
            books.add(record, rows)
            yield record, rows.utterances
        books.check(manifest, account, lambda: (_rows_of(record, out).utterances["key"] for record in records))

    write_contents(out, read_parts(), spec.sample_rate_hz)
    _check_some(spec, records, out)
    coverage = books.measure_coverage(lambda: stream_manifest(corpus_dir, COLUMNS), intake.channels)
    return _facts(manifest, records, books, account, coverage).model_copy(
        update={
            "hours": _hours(sum(record.samples for record in records), spec),
            "valid_hours": _hours(books.valid_samples, spec),
            "sample_rate_hz": spec.sample_rate_hz,
        }
    )


def _rows_of(record: PartRecord, out: Path) -> PartRows:
    return read_rows(record_path(out, record.stem))


def _remove_others(stems: set[str], out: Path) -> None:
    """Remove tars of an earlier attempt that this corpus does not have."""
    for path in (*out.glob("*.tar"), *(out / RECORDS).glob("[!.]*")):
        if path.stem not in stems or path.suffix not in (".tar", SUFFIX):  # earlier versions wrote JSON
            remove_noted(path)


def _check_rejects(rejected: Counter[str], num_recordings: int, spec: ShardSpec, out: Path) -> None:
    """Limit the bad recordings. A piece that is left out is no bad recording: the rest of its recording is used."""
    bad = Counter({reason: count for reason, count in rejected.items() if reason not in EXCLUDED})
    if bad.total() > spec.max_rejected * num_recordings:
        counts = ", ".join(f"{count} {reason}" for reason, count in bad.most_common())
        raise TooManyRejectsError(
            "TOO_MANY_REJECTS",
            f"{bad.total()} of {num_recordings} recordings are bad ({counts}), expected at most "
            f"{spec.max_rejected:.1%}; listed in {rejects_path(out)}; repair them or raise max_rejected",
        )


def _check_some(spec: ShardSpec, records: Sequence[PartRecord], out: Path) -> None:
    """Refuse a corpus without any utterance here, where the reasons are known. No later stage can use it."""
    if not any(record.utterances for record in records):
        counts = add_counts(one for record in records for one in (record.rejected, record.rejected_pieces))
        raise BadDataError(
            "SHARDS_EMPTY",
            f"no recording gave an utterance of {spec.min_seconds} s or more "
            f"({', '.join(f'{count} {reason}' for reason, count in counts.most_common())}); listed in "
            f"{rejects_path(out)}; lower min_seconds, join clips, or leave the corpus out",
        )


def _facts(
    manifest: ManifestBooks, records: Sequence[PartRecord], books: Books, account: Account, coverage: Coverage
) -> ShardsFacts:
    reasons = add_counts(record.rejected for record in records)
    pieces = add_counts(record.rejected_pieces for record in records)
    return ShardsFacts(
        recordings=len(manifest),
        recordings_used=len(manifest) - reasons.total(),
        excluded={why: reasons[why] for why in sorted(reasons) if why in EXCLUDED},
        rejected={why: reasons[why] for why in sorted(reasons) if why not in EXCLUDED},
        rejected_pieces=dict(sorted(pieces.items())),
        samples=account.samples,
        samples_used=account.samples_used,
        samples_excluded=account.samples_excluded,
        samples_refused=account.samples_refused,
        samples_outside=coverage.outside,
        samples_repeated=coverage.repeated,
        unmeasured=account.unmeasured,
        gap_samples=sum(record.gap_samples for record in records),
        clipped_samples=account.clipped,
        notes=dict(account.notes),
        channels=dict(account.channels),
        cuts=dict(account.cuts),
        utterances=sum(record.utterances for record in records),
        speakers=books.num_speakers,
        hours=0.0,
        valid_hours=0.0,
        shards=sum(bool(record.sha256) for record in records),
        bytes=sum(record.size_bytes for record in records),
        repeated_recordings=manifest.num_repeated,
        in_both_splits=manifest.num_in_both_splits,
        languages=books.count_languages(manifest),
    )


def _hours(samples: int, spec: ShardSpec) -> float:
    return round(samples / spec.sample_rate_hz / 3600, 6)
