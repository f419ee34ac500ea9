"""What there is of each language of a corpus: recordings, rejects, utterances and hours."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavlm.shards.facts import LanguageFacts
from wavlm.specs import SAMPLE_RATE_HZ, UNKNOWN_LANGUAGE
from wavlm.storage.texts import Hashes

MOST_LANGUAGES = 1000  # a column that names something else than languages may have a million values


class LanguageBooks:
    """The utterances of each language, on their way into sums."""

    def __init__(self, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self._rate_hz = sample_rate_hz
        self._counts, self._samples, self._valid = Counter[str](), Counter[str](), Counter[str]()

    def add(self, utterances: pa.Table) -> None:
        """Enter the utterances of a part."""
        if len(self._counts) > MOST_LANGUAGES:
            return
        sums = utterances.group_by(["language", "split"], use_threads=False).aggregate(
            [("samples", "sum"), ("samples", "count")]
        )
        for row in sums.to_pylist():
            language = row["language"] or UNKNOWN_LANGUAGE
            self._counts[language] += row["samples_count"]
            self._samples[language] += row["samples_sum"]
            self._valid[language] += row["samples_sum"] * (row["split"] == "valid")

    def close(
        self, languages: pa.ChunkedArray, keys: Hashes, refused: Hashes, excluded: Hashes
    ) -> dict[str, LanguageFacts]:
        """The account of each language; none if no language is known, or if there are so many that they are none.

        languages, keys: of the recordings of the manifest, (recordings,). refused, excluded: keys of recordings that
        are in no utterance, and of those among them that are too short.
        """
        recordings = _count(languages)
        if set(recordings) <= {UNKNOWN_LANGUAGE} or len(recordings) > MOST_LANGUAGES:
            return {}
        is_excluded = np.isin(keys, excluded)
        is_rejected = np.isin(keys, refused) & ~is_excluded
        left = [_count(languages.filter(pa.array(mask))) for mask in (is_excluded, is_rejected)]
        return {
            name: LanguageFacts(
                recordings=recordings[name],
                excluded=left[0][name],
                rejected=left[1][name],
                utterances=self._counts[name],
                hours=_hours(self._samples[name], self._rate_hz),
                valid_hours=_hours(self._valid[name], self._rate_hz),
            )
            for name in sorted(recordings)
        }


def _count(languages: pa.ChunkedArray) -> Counter[str]:
    """Recordings per language. An empty name is not known, as a missing one."""
    counts: Counter[str] = Counter()
    for row in pc.value_counts(languages.cast(pa.string())).to_pylist():
        counts[row["values"] or UNKNOWN_LANGUAGE] += row["counts"]
    return counts


def _hours(samples: int, sample_rate_hz: int) -> float:
    return round(samples / sample_rate_hz / 3600, 6)
