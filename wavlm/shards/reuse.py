"""Parts of shards that another complete folder has made from the same inputs: taken over, and compared by sha256.

A corpus that grows keeps the parts of its earlier generations. What a part is made from is digested in its record, so
whether it is the same does not depend on where it lies, or on which generation it was made for. It may lie in a mirror.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from wavlm.errors import BadDataError
from wavlm.shards.plan import TarPart, digest_inputs
from wavlm.shards.record import PartRecord, read_record, record_path
from wavlm.shards.recordings import Intake
from wavlm.specs import ShardSpec
from wavlm.storage.elsewhere import can_be_had, fetch_file
from wavlm.storage.links import take_over
from wavlm.storage.seals import check_sealed, let_settle, sha256_as_it_is

TRANSFERS = 8  # from a mirror at once
THREADS = 2  # hashing waits for the disk and releases the GIL

logger = logging.getLogger(__name__)


def take_parts(
    parts: Sequence[TarPart], spec: ShardSpec, intake: Intake, siblings: Iterable[Path], out: Path
) -> Mapping[str, PartRecord]:
    """Take over what other folders of the same corpus have of these parts; their records, by the stem of the tar.

    A part that is damaged there is not taken, and a warning says so: it is made from the recordings.
    """
    folders = list(siblings)
    there: dict[str, tuple[PartRecord, Path]] = {}
    for part in parts if folders else ():
        inputs = digest_inputs(part.stem, part.read_rows(), spec, intake.channels, intake.role)
        for sibling in folders:
            record = _find(sibling, part.stem, inputs)
            if record and all(can_be_had(sibling, name) for name in _names(record)):
                there[part.stem] = record, sibling
                break
    with ThreadPoolExecutor(TRANSFERS) as pool:
        taken = pool.map(lambda item: _take(item[0], item[1], out), there.values())
        found = {stem: record for (stem, (record, _)), is_taken in zip(there.items(), taken, strict=True) if is_taken}
    if found:
        let_settle()  # the store hashes the tars again to seal them, unless it knows them
    with ThreadPoolExecutor(THREADS) as pool:
        whole = pool.map(lambda record: _is_whole(record, out), found.values())
        return {stem: record for (stem, record), is_whole in zip(found.items(), whole, strict=True) if is_whole}


def _find(sibling: Path, stem: str, inputs: str) -> PartRecord | None:
    """The record of a part of another folder if it is made from these inputs."""
    path = record_path(sibling, stem)
    if not path.is_file():
        return None
    try:
        check_sealed(path)
        record = read_record(path)
    except (BadDataError, OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        logger.warning("a part cannot be taken over: %s", error)
        return None
    return record if record.inputs == inputs else None


def _take(record: PartRecord, sibling: Path, out: Path) -> bool:
    """Take over the files of a part, from the mirror where they are not here. Raises what `Mirror` raises."""
    try:
        for name in _names(record):
            if (sibling / name).is_file():
                take_over(sibling / name, out / name)
            else:
                fetch_file(sibling, name, out / name)
    except (BadDataError, OSError) as error:  # somebody has just deleted it, or it is damaged
        logger.warning("a part cannot be taken over: %s", error)
        return False
    return True


def _is_whole(record: PartRecord, out: Path) -> bool:
    tar = out / record.shard
    if not record.utterances:
        tar.unlink(missing_ok=True)
        return True
    if (found := sha256_as_it_is(tar)) == record.sha256:
        return True
    logger.warning("%s is made again: taken over with the sha256 %s, expected %s", record.shard, found, record.sha256)
    for name in _names(record):
        (out / name).unlink(missing_ok=True)
    return False


def _names(record: PartRecord) -> Iterator[str]:
    if record.utterances:
        yield record.shard
    yield str(record_path(Path(), record.stem))
