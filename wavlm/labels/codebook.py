"""Stage codebook: what labels are made with, fitted on a seeded sample of frames with a share per corpus.

A codebook folder holds `codebook.json`, with how well it fits, and by the type of the spec:

    kmeans                             centroids.npy (K, D), and the same as a faiss index
    random_projection, multi_codebook  quantizer.npz (wavlm.labels.quantizers)
    external                           labels.parquet (wavlm.labels.external)

Two things differ from HuBERT's recipe (docs/algorithm.md section 11). k-means is faiss' plain one, not scikit-learn's
mini-batches. The sample is a fixed number of frames per cluster, few of each utterance, spread over corpora and
speakers, not all frames of a tenth of the utterances.

Legend: F frames, D channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, release_gpu_memory
from wavlm.features.frame_function import label_rate_hz
from wavlm.labels.external import take_labels_of_others
from wavlm.labels.facts import (
    OF_GRIDS,
    OF_STREAMS,
    CodebookFacts,
    CorpusShare,
    LanguageShare,
    codebook_path,
    find_grid,
    without_name,
)
from wavlm.labels.fitting import Samples, fit_codebook
from wavlm.labels.frames import FramesWork, sample_frames
from wavlm.labels.pools import Pool, read_pools
from wavlm.labels.sampling import Drawing, draw_shares, samples_per_folder
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import CodebookSpec, ExternalLabelsSpec, FittedSource, LabelSource
from wavlm.specs.frames import FrameGrid
from wavlm.storage.files import write_json

UTTERANCES_PER_WORKER = 500  # a process takes some seconds to start
VALID_SHARE = 10  # the sample of the valid split has a tenth of the frames of the train sample


@dataclass(frozen=True)
class _How:
    """How a sample is computed."""

    plan: ExtractionPlan
    grid: FrameGrid
    progress: Progress


def build_codebook(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    spec: LabelSource,
    shards: Mapping[str, Path],
    teacher_dir: Path | None,
    out: Path,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
    grid: FrameGrid | None = None,
) -> CodebookFacts:
    """Fill `out` with what labels are made with, and `codebook.json`; return the facts.

    shards: the shards folder of each corpus, by its name. `spec.shares` belong to them in this order.
    grid: the frames of the network that is to learn the labels; None: 25 ms every 20 ms.
    The features are computed in parts, on the device of `plan`. What is fitted uses one thread, see `cluster`.
    """
    if isinstance(spec, ExternalLabelsSpec):
        return take_labels_of_others(spec, out, grid)
    names, sample_rate_hz = tuple(shards), read_sample_rate(*shards.values())
    frames = find_grid(grid, sample_rate_hz, out)
    samples = _draw_samples(spec, shards, teacher_dir, out, _How(plan, frames, progress))
    fitted = fit_codebook(spec, samples, names, out)
    languages = bool(spec.sampling and spec.sampling.languages)
    facts = CodebookFacts(
        type=spec.type,
        num_streams=spec.num_streams,
        features=without_name(spec.features),
        num_clusters=spec.num_clusters,
        num_channels=int(samples.train.shape[1]),
        label_rate_hz=label_rate_hz(spec.features, frames),
        grid=grid,
        sample_utterances=len(samples.drawing.rows),
        sample_speakers=samples.drawing.num_speakers,
        shares=_count_corpora(names, samples.pools, samples.drawing, sample_rate_hz),
        languages=_count_languages(samples.pools, samples.drawing, sample_rate_hz) if languages else (),
        copies_of_valid=samples.copies_of_valid,
        **fitted._asdict(),
    )
    is_kmeans = isinstance(spec, CodebookSpec)
    left_out = (OF_STREAMS if is_kmeans else frozenset[str]()) | (OF_GRIDS if grid is None else frozenset())
    write_json(codebook_path(out), facts.model_dump(mode="json", exclude=set(left_out)))
    return facts


def _draw_samples(
    spec: FittedSource,
    shards: Mapping[str, Path],
    teacher_dir: Path | None,
    out: Path,
    how: _How,
) -> Samples:
    plan, grid = how.plan, how.grid
    names, languages = tuple(shards), bool(spec.sampling and spec.sampling.languages)
    rate_hz = label_rate_hz(spec.features, grid)
    train, valid = (
        read_pools(list(shards.values()), names, split, rate_hz, grid, languages=languages)
        for split in ("train", "valid")
    )
    work = FramesWork(tuple(shards.values()), spec.features, teacher_dir, spec.seed, plan, grid)
    drawing = draw_shares(train.pools, train.pools, rate_hz, spec.sample_frames, spec, grid)
    sample = sample_frames(drawing, work, out, _num_workers(drawing, plan), how.progress)
    held_out = draw_shares(valid.pools, train.pools, rate_hz, spec.sample_frames // VALID_SHARE, spec, grid)
    valid_sample = sample_frames(held_out, work, out, _num_workers(held_out, plan))
    release_gpu_memory(plan)
    return Samples(sample, valid_sample, drawing, train.pools, train.copies_of_valid)


def _num_workers(drawing: Drawing, plan: ExtractionPlan) -> int:
    """Processes for the sample: on a GPU one, which has all of it; on the CPU no more than the work is worth."""
    if plan.device != "cpu":
        return 1
    return min(plan.processes, max(1, len(drawing.rows) // UTTERANCES_PER_WORKER))


def _count_corpora(
    names: Sequence[str], pools: Sequence[Pool], drawing: Drawing, sample_rate_hz: int
) -> tuple[CorpusShare, ...]:
    """What each corpus gave to the sample: hours that there are, and what was taken."""
    hours = samples_per_folder(pools)
    return tuple(
        CorpusShare(corpus=name, **_count_share(hours[number] / sample_rate_hz, drawing, drawing.folders == number))
        for number, name in enumerate(names)
    )


def _count_languages(pools: Sequence[Pool], drawing: Drawing, sample_rate_hz: int) -> tuple[LanguageShare, ...]:
    """What each language of each corpus gave to the sample."""
    return tuple(
        LanguageShare(
            **pool.group._asdict(), **_count_share(pool.num_samples / sample_rate_hz, drawing, drawing.pools == number)
        )
        for number, pool in enumerate(pools)
    )


def _count_share(seconds: float, drawing: Drawing, is_here: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "hours": seconds / 3600,
        "utterances": int(is_here.sum()),
        "speakers": len(np.unique(drawing.speakers[is_here])),
        "frames": int(drawing.num_frames[is_here].sum()),
    }
