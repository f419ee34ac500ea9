"""What there is of each language of a corpus: recordings, rejects, utterances and hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wavlm.shards.account import EXCLUDED
from wavlm.shards.facts import LanguageFacts
from wavlm.shards.part import PackedUtterance
from wavlm.shards.rejects import Reject
from wavlm.specs import SAMPLE_RATE_HZ, UNKNOWN_LANGUAGE

if TYPE_CHECKING:
    from wavlm.corpus.manifest import ManifestRow

MOST_LANGUAGES = 1000  # a column that names something else than languages may have a million values


def count_languages(
    manifest: Sequence[ManifestRow], rejects: Sequence[Reject], utterances: Sequence[PackedUtterance]
) -> dict[str, LanguageFacts]:
    """The account of each language; none if no language is known, or if there are so many that they are none."""
    language_of = {row.key: row.language or UNKNOWN_LANGUAGE for row in manifest}
    recordings = Counter(language_of.values())
    if set(recordings) == {UNKNOWN_LANGUAGE} or len(recordings) > MOST_LANGUAGES:
        return {}
    lost = [reject for reject in rejects if reject.is_recording]
    excluded = Counter(language_of[reject.key] for reject in lost if reject.reason in EXCLUDED)
    rejected = Counter(language_of[reject.key] for reject in lost if reject.reason not in EXCLUDED)
    counts, samples, valid = Counter[str](), Counter[str](), Counter[str]()
    for item in utterances:
        language = item.language or UNKNOWN_LANGUAGE
        counts[language] += 1
        samples[language] += item.samples
        valid[language] += item.samples * (item.split == "valid")
    return {
        name: LanguageFacts(
            recordings=recordings[name],
            excluded=excluded[name],
            rejected=rejected[name],
            utterances=counts[name],
            hours=_hours(samples, name),
            valid_hours=_hours(valid, name),
        )
        for name in sorted(recordings)
    }


def _hours(samples: Mapping[str, int], name: str) -> float:
    return round(samples[name] / SAMPLE_RATE_HZ / 3600, 6)
