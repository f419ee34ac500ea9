"""What a corpus holds, added up from the tables that were written, some rows at a time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.corpus.facts import Amount
from wavlm.corpus.growth.history import USED
from wavlm.corpus.growth.splits import TEST_SPLIT
from wavlm.corpus.manifest import content_texts, microseconds_of, stream_manifest
from wavlm.storage.texts import distinct, hash_texts

logger = logging.getLogger(__name__)

SHOWN = 3  # keys in a message


@dataclass
class Sums:
    """Recordings and their microseconds by split, or by the reason why they are in none."""

    amounts: dict[str, Amount] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add some recordings, which have key, split, rate and samples."""
        microseconds = microseconds_of(rows)
        for split in pc.unique(rows["split"]).to_pylist():
            mask = pc.equal(rows["split"], split)
            chosen = mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy()
            before = self.amounts.get(split, Amount())
            self.amounts[split] = Amount(
                recordings=before.recordings + int(chosen.sum()),
                microseconds=before.microseconds + int(microseconds[chosen].sum()),
            )
            shown = self.examples.setdefault(split, [])
            shown += rows["key"].filter(mask).slice(0, SHOWN + 1 - len(shown)).to_pylist()

    def of(self, split: str) -> Amount:
        return self.amounts.get(split, Amount())

    @property
    def found(self) -> Amount:
        """All of them."""
        return Amount(
            recordings=sum(item.recordings for item in self.amounts.values()),
            microseconds=sum(item.microseconds for item in self.amounts.values()),
        )

    @property
    def excluded(self) -> dict[str, Amount]:
        """Those that are in neither split, by reason."""
        return {why: self.amounts[why] for why in sorted(self.amounts) if why not in USED}

    def warn(self, name: str) -> None:
        """Say what is left out and may be missed."""
        for reason in set(self.excluded) - {TEST_SPLIT}:
            keys = self.examples[reason]
            shown = ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
            logger.warning("%s: %d recordings are left out (%s): %s", name, self.of(reason).recordings, reason, shown)


@dataclass(frozen=True)
class ManifestSums:
    """What the manifest of a corpus lists."""

    recordings: int
    speakers: int
    microseconds: int
    without_header: int
    with_text: int
    with_phones: int
    copies: int  # recordings whose content another one has, too
    hours_per_language: dict[str, float]


def sum_manifest(corpus_dir: Path) -> ManifestSums:
    """Add up a manifest. Raises BadDataError (MANIFEST)."""
    counts = {"recordings": 0, "microseconds": 0, "without_header": 0, "with_text": 0, "with_phones": 0}
    contents, speakers, seconds = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], dict[str, float]()
    for batch in stream_manifest(corpus_dir):
        counts["recordings"] += len(batch)
        counts["microseconds"] += int(microseconds_of(batch).sum())
        counts["without_header"] += int((batch["num_samples"].to_numpy() < 0).sum())
        counts["with_text"] += len(batch) - batch["text"].null_count
        counts["with_phones"] += len(batch) - batch["phones"].null_count
        contents.append(hash_texts(content_texts(batch)))
        speakers.append(hash_texts(pc.unique(batch["speaker"])))
        _add_languages(batch, seconds)
    num_contents, num_speakers = (len(distinct(np.concatenate(arrays))) for arrays in (contents, speakers))
    return ManifestSums(
        **counts,
        speakers=num_speakers,
        copies=counts["recordings"] - num_contents,
        hours_per_language={name: round(seconds[name] / 3600, 4) for name in sorted(seconds)},
    )


def _add_languages(batch: pa.RecordBatch, seconds: dict[str, float]) -> None:
    length = np.maximum(batch["num_samples"].to_numpy(), 0) / np.maximum(batch["sample_rate_hz"].to_numpy(), 1)
    for language in pc.unique(batch["language"]).to_pylist():
        if language:
            chosen = pc.fill_null(pc.equal(batch["language"], language), False)  # noqa: FBT003
            total = float(length[chosen.to_numpy(zero_copy_only=False)].sum())
            seconds[language] = seconds.get(language, 0.0) + total
