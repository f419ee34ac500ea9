"""How the frames of each layer are spread, of each corpus and of all: effective rank and cluster quality.

No phones are needed. Each corpus gives as many utterances: train speech for k-means, held-out speech to measure on.
Where only one of the splits has speech, both are of it. Few utterances are read, whatever the size of a corpus.

Legend: N samples, F frames, D channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wavlm.evaluation.facts import LayerShape, Split
from wavlm.evaluation.fast.clusters import measure_clusters
from wavlm.evaluation.fast.rank import effective_rank
from wavlm.evaluation.frames import FIT_FRAMES_PER_CLUSTER, ExtractLayers, fit_centroids, join_layers, sample_frames
from wavlm.execution.progress import Progress
from wavlm.features.mfcc import Floats
from wavlm.rng import stream_seeds
from wavlm.shards import Reader
from wavlm.shards.index import stream_split
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import ScoresSpec

MEASURED_FRAMES = 25_600  # of all corpora together: what RankMe takes


@dataclass(frozen=True)
class StoredUtterance:
    """An utterance where it lies in its shard. It is read each time that it is asked for."""

    corpus: str
    split: Split
    key: str
    reader: Reader
    shard: str
    offset: int
    size: int

    @property
    def waveform(self) -> Floats:
        return self.reader.read_at(self.shard, self.offset, self.size)


@dataclass(frozen=True)
class SpeechSample:
    """Utterances of all corpora, each in one of the two roles."""

    fitted: tuple[StoredUtterance, ...]  # k-means is fitted on them
    judged: tuple[StoredUtterance, ...]


def choose_speech(corpora: Mapping[str, Path], max_utterances: int, seed: int) -> SpeechSample:
    """A seeded choice of about `max_utterances` of shards folders, by corpus: of each corpus one or more per role."""
    each = max(1, max_utterances // 2 // max(1, len(corpora)))
    fitted: list[StoredUtterance] = []
    judged: list[StoredUtterance] = []
    for name, folder in corpora.items():
        train, valid = (_choose(name, folder, split, 2 * each, seed) for split in _SPLITS)
        if not (train and valid):
            alone = train or valid
            train, valid = alone[: len(alone) // 2], alone[len(alone) // 2 :]
        fitted += train[:each]
        judged += valid[:each]
    return SpeechSample(tuple(fitted), tuple(judged))


_SPLITS: tuple[Split, ...] = ("train", "valid")


def _choose(corpus: str, folder: Path, split: Split, count: int, seed: int) -> list[StoredUtterance]:
    """The utterances whose numbers are smallest, of which the seed and the key decide. They are read one by one."""
    columns = ("key", "shard", "offset", "size")
    found: list[tuple[int, tuple[str, str, int, int]]] = []
    for _, batch in stream_split(folder, columns, split):
        numbers = stream_seeds(seed, ("shape",), batch["key"].to_pylist())
        rows = np.argsort(numbers)[:count]
        values = zip(*(batch[name].take(rows).to_pylist() for name in columns), strict=True)
        found = sorted([*found, *zip(numbers[rows].tolist(), values, strict=True)])[:count]
    reader = Reader(folder, sample_rate_hz=read_sample_rate(folder))
    return [StoredUtterance(corpus, split, key, reader, shard, at, size) for _, (key, shard, at, size) in found]


def measure_shapes(
    extract_layers: ExtractLayers, layers: Sequence[int], sample: SpeechSample, spec: ScoresSpec, progress: Progress
) -> Iterator[LayerShape]:
    """The shape of each layer (0: MFCC): of all corpora together, then of each of several."""
    num_fitted = FIT_FRAMES_PER_CLUSTER * spec.num_clusters
    total = len(sample.fitted) + len(sample.judged)
    fitted = sample_frames(extract_layers, sample.fitted, num_fitted, spec.seed, lambda done, _: progress(done, total))
    judged = sample_frames(
        extract_layers,
        sample.judged,
        MEASURED_FRAMES,
        spec.seed,
        lambda done, _: progress(len(sample.fitted) + done, total),
    )
    centroids = [_fit(frames, spec) for frames in join_layers(fitted)] or [None] * len(layers)
    names = sorted({item.corpus for item in sample.judged})
    for corpus in ("", *(names if len(names) > 1 else ())):
        chosen = [number for number, item in enumerate(sample.judged) if corpus in ("", item.corpus)]
        about = partial(
            LayerShape,
            corpus=corpus,
            num_utterances=len(chosen),
            splits=tuple(sorted({sample.judged[number].split for number in chosen})),
        )
        for place, (layer, frames) in enumerate(zip(layers, join_layers([judged[n] for n in chosen]), strict=True)):
            yield _describe(about, layer, frames, centroids[place])


def _fit(frames: Floats, spec: ScoresSpec) -> Floats | None:
    return fit_centroids(frames, spec) if len(frames) >= spec.num_clusters else None


def _describe(about: partial[LayerShape], layer: int, frames: Floats, centroids: Floats | None) -> LayerShape:
    shape = about(
        name=f"layer {layer}" if layer else "mfcc",
        layer=layer,
        num_frames=len(frames),
        effective_rank=effective_rank(frames),
    )
    if centroids is None:
        return shape
    found = measure_clusters(frames, centroids)
    return shape.model_copy(update=vars(found))
