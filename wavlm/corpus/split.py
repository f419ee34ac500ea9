"""Split a corpus into train and valid: by listed speakers, whole speakers, or whole recordings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wavlm.corpus.facts import SplitRule
from wavlm.corpus.manifest import ManifestRow
from wavlm.errors import UsageError
from wavlm.rng import rng_for
from wavlm.specs import CorpusSpec


@dataclass(frozen=True)
class Split:
    """Rows with their final split, the rule that was used, and the number of duplicates moved to train."""

    rows: tuple[ManifestRow, ...]
    rule: SplitRule
    moved_to_train: int


def split(rows: Sequence[ManifestRow], spec: CorpusSpec) -> Split:
    """Put the listed speakers, or whole speakers up to `valid_fraction` of the audio, into the valid split.

    From a corpus of one speaker, whole recordings are taken instead. If recordings of the same content (sha256)
    are in both splits, all of them go to train.
    Raises UsageError (SPEAKER) for a listed speaker that the corpus does not have.
    """
    rule, held = _choose_held_out(rows, spec)
    first = [replace(row, split="valid" if row.key in held else "train") for row in rows]
    trained = {row.sha256 for row in first if row.split == "train"}
    final = tuple(replace(row, split="train") if row.sha256 in trained else row for row in first)
    moved = sum(row.split == "valid" for row in first) - sum(row.split == "valid" for row in final)
    return Split(final, rule, moved)


def _choose_held_out(rows: Sequence[ManifestRow], spec: CorpusSpec) -> tuple[SplitRule, set[str]]:
    speakers = sorted({row.speaker for row in rows})
    if spec.valid_speakers:
        if unknown := sorted(set(spec.valid_speakers) - set(speakers)):
            raise UsageError(
                "SPEAKER",
                f"valid_speakers {', '.join(unknown)} are not among the {len(speakers)} speakers, such as "
                f"{', '.join(speakers[:5])}; in {spec.name}; correct the corpus spec",
            )
        return "listed", {row.key for row in rows if row.speaker in spec.valid_speakers}
    if spec.valid_fraction == 0:
        return "none", set()
    weights = _weights(rows)
    if len(speakers) == 1:
        return "recordings", _draw(weights, spec)
    by_speaker: dict[str, float] = defaultdict(float)
    for row in rows:
        by_speaker[row.speaker] += weights[row.key]
    chosen = _draw(by_speaker, spec)
    return "speakers", {row.key for row in rows if row.speaker in chosen}


def _weights(rows: Sequence[ManifestRow]) -> dict[str, float]:
    """Seconds per recording, or bytes if most headers cannot be read."""
    unknown = Counter(row.num_samples < 0 for row in rows)[True]
    if 2 * unknown > len(rows):
        return {row.key: float(row.size_bytes) for row in rows}
    return {row.key: row.seconds for row in rows}


def _draw(weights: Mapping[str, float], spec: CorpusSpec) -> set[str]:
    """Names in random order, as long as they fit into `valid_fraction`. At least one name, never all."""
    names = sorted(weights)
    order = rng_for(0, "valid", spec.name).permutation(len(names))
    budget = spec.valid_fraction * sum(weights.values())
    chosen: set[str] = set()
    for index in order:
        weight = weights[names[index]]
        if 0 < weight <= budget:
            chosen.add(names[index])
            budget -= weight
    if not chosen and len(names) > 1:
        chosen = {min(names, key=lambda name: (weights[name] <= 0, weights[name], name))}
    return chosen
