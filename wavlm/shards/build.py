"""The shards stage: pack a corpus into tars, an index, and a list of the recordings that are not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm.corpus.layouts import UNKNOWN_SPEAKER, path_to_text
from wavlm.errors import BadDataError
from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress
from wavlm.shards.account import EXCLUDED, Account, add_up
from wavlm.shards.coverage import Coverage, measure_coverage
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.index import write_index
from wavlm.shards.languages import count_languages
from wavlm.shards.listing import ListedShard, write_listing
from wavlm.shards.part import RECORDS, PackedUtterance, PartRecord, build_part
from wavlm.shards.plan import read_plan
from wavlm.shards.recordings import MEAN_OF_SPEECH, Intake
from wavlm.shards.rejects import Reject, rejects_path, write_rejects
from wavlm.shards.reuse import take_parts
from wavlm.shards.waveform import name_channels
from wavlm.specs import SAMPLE_RATE_HZ, ShardSpec
from wavlm.storage.files import remove_noted
from wavlm.storage.known import KnownFile, note_known

if TYPE_CHECKING:  # its libraries are not needed to read shards
    from wavlm.corpus.manifest import Content, ManifestRow

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
    manifest, parts = read_plan(corpus_dir, spec)
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    _remove_others({part.stem for part in parts}, out)
    work = partial(build_part, spec=spec, intake=intake, corpus_dir=corpus_dir, out=out)
    taken = take_parts(parts, spec, intake, siblings, out)
    todo = [part for part in parts if part.stem not in taken]
    enough = max(1, int(sum(part.seconds for part in todo) / SECONDS_PER_WORKER))
    made = {record.stem: record for record in run_parts(todo, work, min(workers, enough), progress)}
    records = [made.get(part.stem) or taken[part.stem] for part in parts]
    note_known(out, [KnownFile(one.shard, one.sha256, one.size_bytes) for one in records if one.sha256])
    rejects = [reject for record in records for reject in record.rejects]
    account = add_up([record.account for record in records])
    _check_books([row.key for row in manifest], records, rejects, account)
    write_rejects(out, rejects)
    _check_rejects(rejects, len(manifest), spec, out)
    write_contents(out, records)
    _check_some(rejects, spec, records, out)
    facts = _facts(manifest, records, rejects, account, _measure_coverage(manifest, records, intake))
    return facts.model_copy(update={"parts_reused": len(taken)})


def _remove_others(stems: set[str], out: Path) -> None:
    """Remove tars of an earlier attempt that this corpus does not have."""
    for path in (*out.glob("*.tar"), *(out / RECORDS).glob("[!.]*.json")):
        if path.stem not in stems:
            remove_noted(path)


def _check_books(
    keys: Sequence[str], records: Sequence[PartRecord], rejects: Sequence[Reject], account: Account
) -> None:
    """Check that every recording is either in utterances or in rejects, and every sample as well.

    The ledgers of the parts have counted too. This compares them with what is listed: utterances and rejects.
    """
    utterances = [item for record in records for item in record.utterances]
    used = {key for item in utterances for key in item.sources}
    refused = [reject.key for reject in rejects if reject.is_recording]
    listed = sum(item.samples - item.gap_samples for item in utterances)
    left_out = sum(max(0, reject.samples) for reject in rejects)
    if sorted([*used, *refused]) != sorted(keys) or listed + left_out != account.samples:
        raise RuntimeError(
            f"{len(keys)} recordings of the manifest, {len(used)} in utterances, {len(refused)} rejected; "
            f"{account.samples} samples decoded, {listed} in utterances, {left_out} rejected: "
            "the numbers do not add up"
        )
    names = Counter(item.key for item in utterances)
    if twice := sorted(key for key, count in names.items() if count > 1):
        raise BadDataError(
            "DUP_KEY",
            f"{twice[0]} is the key of a recording, and of a channel, a piece or a join of another; in the manifest; "
            "rename the file",
        )


def _check_rejects(rejects: Sequence[Reject], num_recordings: int, spec: ShardSpec, out: Path) -> None:
    """Limit the bad recordings. A piece that is left out is no bad recording: the rest of its recording is used."""
    bad = Counter(item.reason for item in rejects if item.is_recording and item.reason not in EXCLUDED)
    if bad.total() > spec.max_rejected * num_recordings:
        counts = ", ".join(f"{count} {reason}" for reason, count in bad.most_common())
        raise TooManyRejectsError(
            "TOO_MANY_REJECTS",
            f"{bad.total()} of {num_recordings} recordings are bad ({counts}), expected at most "
            f"{spec.max_rejected:.1%}; listed in {rejects_path(out)}; repair them or raise max_rejected",
        )


def _check_some(rejects: Sequence[Reject], spec: ShardSpec, records: Sequence[PartRecord], out: Path) -> None:
    """Refuse a corpus without any utterance here, where the reasons are known. No later stage can use it."""
    if not any(record.utterances for record in records):
        counts = Counter(reject.reason for reject in rejects).most_common()
        raise BadDataError(
            "SHARDS_EMPTY",
            f"no recording gave an utterance of {spec.min_seconds} s or more "
            f"({', '.join(f'{count} {reason}' for reason, count in counts)}); listed in "
            f"{rejects_path(out)}; lower min_seconds, join clips, or leave the corpus out",
        )


def write_contents(out: Path, records: Sequence[PartRecord]) -> None:
    """Write what is in a folder of tars: the index of the utterances and the listing of the tars."""
    write_index(out, [_index_row(record.shard, item) for record in records for item in record.utterances])
    write_listing(out, {record.shard: _list_shard(record) for record in records if record.sha256})


def _index_row(shard: str, item: PackedUtterance) -> dict[str, object]:
    return {**vars(item), "shard": shard, "origins": [origin._asdict() for origin in item.origins]}


def _list_shard(record: PartRecord) -> ListedShard:
    return ListedShard(
        sha256=record.sha256,
        utterances=len(record.utterances),
        samples=sum(item.samples for item in record.utterances),
        inputs=record.inputs,
    )


def _measure_coverage(manifest: Sequence[ManifestRow], records: Sequence[PartRecord], intake: Intake) -> Coverage:
    """What of the files with regions is in none, or in several. A row of a whole file is a region of it, too."""
    regions = [item for record in records for item in record.covered]
    files = {item.path: item for item in regions}
    wholes = [
        replace(
            file, spans=tuple((lane, 0, file.samples) for lane in name_channels(intake.channels, file.num_channels))
        )
        for row in manifest
        if not row.is_region and (file := files.get(path_to_text(row.path)))
    ]
    return measure_coverage([*regions, *wholes])


def _facts(
    manifest: Sequence[ManifestRow],
    records: Sequence[PartRecord],
    rejects: Sequence[Reject],
    account: Account,
    coverage: Coverage,
) -> ShardsFacts:
    utterances = [item for record in records for item in record.utterances]
    reasons = Counter(reject.reason for reject in rejects if reject.is_recording)
    pieces = Counter(reject.reason for reject in rejects if not reject.is_recording)
    splits: dict[Content, set[str]] = {}
    for row in manifest:
        splits.setdefault(row.content, set()).add(row.split)
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
        gap_samples=sum(item.gap_samples for item in utterances),
        clipped_samples=account.clipped,
        notes=dict(account.notes),
        channels=dict(account.channels),
        cuts=dict(account.cuts),
        utterances=len(utterances),
        speakers=len({item.speaker for item in utterances} - {"", UNKNOWN_SPEAKER}),
        hours=_hours(utterances),
        valid_hours=_hours([item for item in utterances if item.split == "valid"]),
        shards=sum(bool(record.sha256) for record in records),
        bytes=sum(record.size_bytes for record in records),
        repeated_recordings=len(manifest) - len(splits),
        in_both_splits=sum(len(found) > 1 for found in splits.values()),
        languages=count_languages(manifest, rejects, utterances),
    )


def _hours(utterances: Sequence[PackedUtterance]) -> float:
    return round(sum(item.samples for item in utterances) / SAMPLE_RATE_HZ / 3600, 6)
