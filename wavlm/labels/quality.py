"""Label quality: how well labels agree with phones, where a corpus has timed phones.

Counted at the network's frames: frame t of 16 kHz is centred on sample 320 t + 200 of the utterance. Phone purity,
cluster purity and PNMI (phone-normalised mutual information) are defined as in HuBERT (Hsu et al. 2021, section IV-C).

Legend: F frames, P phones, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.labels.facts import Quality
from wavlm.labels.files import Labels
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid

Phone = tuple[float, float, str]  # start_s, end_s, name


@dataclass(frozen=True)
class JointCounts:
    """How many frames have each pair of phone and label."""

    phones: tuple[str, ...]
    counts: npt.NDArray[np.int64]  # (P, K)

    def quality(self) -> Quality:
        """Purities and PNMI, computed in float64. All are 0 where they are 0 / 0."""
        total = int(self.counts.sum())
        if not total:
            return Quality(phone_purity=0.0, cluster_purity=0.0, pnmi=0.0, num_frames=0)
        joint = self.counts / total  # (P, K)
        phone, label = joint.sum(axis=1), joint.sum(axis=0)
        entropy = _entropy_nats(phone)
        information = entropy + _entropy_nats(label) - _entropy_nats(joint.ravel())
        return Quality(
            phone_purity=int(self.counts.max(axis=0).sum()) / total,
            cluster_purity=int(self.counts.max(axis=1).sum()) / total,
            pnmi=max(0.0, information / entropy) if entropy else 0.0,
            num_frames=total,
        )


NO_COUNTS = JointCounts((), np.zeros((0, 0), np.int64))


def label_quality(
    pairs: Iterable[tuple[Sequence[Phone], Labels]], num_clusters: int, grid: FrameGrid = PAPER_FRAMES
) -> Quality:
    """Quality of the labels of many utterances: pairs of phones and labels, one per frame of the grid, (F,)."""
    return merge_counts([joint_counts(phones, labels, num_clusters, grid) for phones, labels in pairs]).quality()


def joint_counts(
    phones: Sequence[Phone], labels: Labels, num_clusters: int, grid: FrameGrid = PAPER_FRAMES
) -> JointCounts:
    """Count one utterance. `labels` are one per frame, (F,). Frames outside any phone are left out."""
    names, numbers = phones_of_frames(phones, len(labels), grid)
    inside = numbers >= 0
    cells = numbers[inside] * num_clusters + labels[inside].astype(np.int64)
    counts = np.bincount(cells, minlength=len(names) * num_clusters)
    return JointCounts(names, counts.reshape(len(names), num_clusters).astype(np.int64))


def phones_of_frames(
    phones: Sequence[Phone], num_frames: int, grid: FrameGrid = PAPER_FRAMES
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The names of phones, and the number of the phone of each frame, (F,): -1 outside of any."""
    names = tuple(sorted({name for _, _, name in phones}))
    row = {name: number for number, name in enumerate(names)}
    ordered = sorted(phones)
    numbers = np.array([*(row[name] for _, _, name in ordered), -1], np.int64)
    return names, numbers[_interval_of_frames(ordered, grid.centres_seconds(num_frames))]  # place -1 is the last


def merge_counts(parts: Iterable[JointCounts]) -> JointCounts:
    """The sum of tables, which may hold different phones. Raises ValueError if their K differ."""
    tables = [part for part in parts if part.phones]
    if not tables:
        return NO_COUNTS
    widths = sorted({part.counts.shape[1] for part in tables})
    if len(widths) > 1:
        raise ValueError(f"tables count different numbers of clusters: {widths}; expected one")
    names = tuple(sorted({name for part in tables for name in part.phones}))
    row = {name: number for number, name in enumerate(names)}
    total = np.zeros((len(names), widths[0]), np.int64)
    for part in tables:
        total[[row[name] for name in part.phones]] += part.counts
    return JointCounts(names, total)


def cluster_shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The share of each cluster that has frames, given the number of frames of each cluster, (K,)."""
    return np.asarray(counts[counts > 0] / max(1, counts.sum()), np.float64)


def entropy_bits(shares: npt.NDArray[np.float64]) -> float:
    """Shannon entropy in bits of positive shares."""
    return float(-(shares * np.log2(shares)).sum())


def _interval_of_frames(ordered: Sequence[Phone], centres_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Number of the phone that contains the centre of each frame, (F,); -1 where there is none. (F,)"""
    if not ordered:
        return np.full(len(centres_s), -1, np.int64)
    starts_s = np.array([start for start, _, _ in ordered])
    ends_s = np.array([end for _, end, _ in ordered])
    found = np.searchsorted(starts_s, centres_s, side="right").astype(np.int64) - 1
    outside = (found < 0) | (centres_s >= ends_s[found])
    return np.where(outside, -1, found)


def _entropy_nats(shares: npt.NDArray[np.float64]) -> float:
    """Shannon entropy in nats. Shares of 0 count nothing."""
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
