"""How much the labels say about phones, where a corpus knows its phones.

Counted at the network's frames: frame t is centred on sample 320 t + 200 of the utterance. The
three figures are HuBERT's (Hsu et al. 2021, section IV-C).

Legend: F frames, P phones, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ

Phone = tuple[float, float, str]  # start_s, end_s, name
Labels = npt.NDArray[np.uint16]

_FIRST_CENTRE_SAMPLES = 200


@dataclass(frozen=True)
class Quality:
    """Shares in 0..1, of the frames that lie in a phone."""

    phone_purity: float  # of frames whose phone is the commonest of their cluster
    cluster_purity: float  # of frames whose cluster is the commonest of their phone
    pnmi: float  # I(phone; label) / H(phone): share of the phone's entropy that the label tells
    num_frames: int


@dataclass(frozen=True)
class JointCounts:
    """How often each phone met each label."""

    phones: tuple[str, ...]
    counts: npt.NDArray[np.int64]  # (P, K)

    def quality(self) -> Quality:
        """Purities and PNMI in float64, exact; all are 0 where they are 0 / 0."""
        total = int(self.counts.sum())
        if not total:
            return Quality(0.0, 0.0, 0.0, 0)
        joint = self.counts / total  # (P, K)
        phone, label = joint.sum(axis=1), joint.sum(axis=0)
        entropy = _entropy(phone)
        information = entropy + _entropy(label) - _entropy(joint.ravel())
        return Quality(
            phone_purity=int(self.counts.max(axis=0).sum()) / total,
            cluster_purity=int(self.counts.max(axis=1).sum()) / total,
            pnmi=max(0.0, information / entropy) if entropy else 0.0,
            num_frames=total,
        )


NO_COUNTS = JointCounts((), np.zeros((0, 0), np.int64))


def label_quality(pairs: Iterable[tuple[Sequence[Phone], Labels]], num_clusters: int) -> Quality:
    """Quality of the labels of many utterances: (phones, label of each frame at 50 Hz)."""
    return merge_counts([joint_counts(phones, labels, num_clusters) for phones, labels in pairs]).quality()


def joint_counts(phones: Sequence[Phone], labels: Labels, num_clusters: int) -> JointCounts:
    """Count one utterance. `labels` are at 50 Hz: (F,); frames outside any phone are left out."""
    names = tuple(sorted({name for _, _, name in phones}))
    row = {name: number for number, name in enumerate(names)}
    ordered = sorted(phones)
    numbers = np.array([row[name] for _, _, name in ordered], np.int64)
    interval = _interval_of_frames(ordered, len(labels))  # (F,), -1 outside
    inside = interval >= 0
    cells = numbers[interval[inside]] * num_clusters + labels[inside].astype(np.int64)
    counts = np.bincount(cells, minlength=len(names) * num_clusters)
    return JointCounts(names, counts.reshape(len(names), num_clusters).astype(np.int64))


def merge_counts(parts: Iterable[JointCounts]) -> JointCounts:
    """The sum of tables that may know different phones; raises ValueError if their K differ."""
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


def _interval_of_frames(ordered: Sequence[Phone], num_frames: int) -> npt.NDArray[np.int64]:
    """Number of the phone that holds each frame's centre, -1 where there is none. (F,)"""
    if not ordered:
        return np.full(num_frames, -1, np.int64)
    centres_s = (np.arange(num_frames) * HOP_SAMPLES + _FIRST_CENTRE_SAMPLES) / SAMPLE_RATE_HZ
    starts_s = np.array([start for start, _, _ in ordered])
    ends_s = np.array([end for _, end, _ in ordered])
    found = np.searchsorted(starts_s, centres_s, side="right").astype(np.int64) - 1
    outside = (found < 0) | (centres_s >= ends_s[found])
    return np.where(outside, -1, found)


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    """Shannon entropy in nats."""
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
