"""PNMI of a model's best layer, utterance by utterance: what a comparison of two models on the same frames needs.

It is what the stage scores measures, with the same utterances and the same k-means.

Legend: U judged utterances, P phones, K clusters, F frames, R sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.scores import Chosen, label_layers, layers_of
from wavlm.features.extract import one_thread
from wavlm.features.hidden import HiddenLayers, default_device
from wavlm.labels.files import Labels
from wavlm.labels.quality import joint_counts
from wavlm.shards import Utterance
from wavlm.specs import ScoresSpec
from wavlm.specs.frames import FrameGrid

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PhoneCounts:
    """How many frames of each judged utterance have each pair of phone and label."""

    layer: int  # from 1
    counts: Floats  # (U, P K)
    num_phones: int


def count_best_layer(spec: ScoresSpec, model_dir: Path, chosen: Chosen) -> PhoneCounts:
    """The counts of the layer whose PNMI is highest. Phones are numbered by name: the same for every model."""
    layers = layers_of(spec, model_dir)
    hidden = HiddenLayers(model_dir, layers, default_device(), sample_rate_hz=chosen.sample_rate_hz)
    with one_thread():
        of_layers = label_layers(hidden, chosen.fitted, chosen.judged, spec)
    names = sorted({name for item in chosen.judged for _, _, name in item.phones or ()})
    every = (  # one at a time: a table may take hundreds of MB
        PhoneCounts(layer, _count(chosen.judged, labels, names, spec.num_clusters, hidden.grid), len(names))
        for layer, labels in zip(layers, of_layers, strict=True)
    )
    return max(every, key=lambda it: float(pnmi_of(it.counts.sum(axis=0, keepdims=True), it.num_phones)[0]))


def pnmi_of(counts: Floats, num_phones: int) -> Floats:
    """Phone-normalised mutual information of each sum of counts, (R, P K) to (R,); 0 where it is 0 / 0.

    Hsu et al. 2021 (HuBERT), section IV-C, as in `wavlm.labels.quality`.
    """
    joint = counts.reshape(len(counts), num_phones, -1)
    joint = joint / np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1.0)  # (R, P, K)
    phone = _entropy_nats(joint.sum(axis=2))
    information = phone + _entropy_nats(joint.sum(axis=1)) - _entropy_nats(joint.reshape(len(joint), -1))
    return np.where(phone > 0, np.maximum(information, 0.0) / np.where(phone > 0, phone, 1.0), 0.0)


def _count(
    judged: Sequence[Utterance], labels: Sequence[Labels], names: Sequence[str], num_clusters: int, grid: FrameGrid
) -> Floats:
    row = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(judged), len(names), num_clusters))
    for number, (item, found) in enumerate(zip(judged, labels, strict=True)):
        joint = joint_counts(item.phones or (), found, num_clusters, grid)
        table[number, [row[name] for name in joint.phones]] = joint.counts
    return table.reshape(len(judged), -1)


def _entropy_nats(shares: Floats) -> Floats:
    """Shannon entropy of each row of shares (R, ...): (R,). Shares of 0 count nothing."""
    found: Floats = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1)
    return found
