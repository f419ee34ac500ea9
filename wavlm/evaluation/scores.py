"""Stage scores: fast metrics of each layer of a model, compared with MFCC on the same 50 Hz frames.

- Label quality (PNMI): each layer is clustered by k-means, with the same K and on the same frames, and compared with
  timed phones. MFCC is clustered in the same way and counts as layer 0.
- ABX: of the phones of the same utterances (wavlm/evaluation/fast/contrasts.py).
- Effective rank and cluster quality, of every corpus, also without phones (wavlm/evaluation/fast/shapes.py).

Train utterances with timed phones are for k-means; the label quality is measured on valid ones. If only one of the
splits has phones, one half of its utterances is for k-means, and the other half is measured. The recipe's field for
this stage is `probe`.

Legend: N samples, F frames, D channels, K clusters.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wavlm.evaluation.facts import SCORES_PLOT, LayerScore, ScoresFacts, scores_path
from wavlm.evaluation.fast.advice import advise_layer
from wavlm.evaluation.fast.contrasts import Contrasts
from wavlm.evaluation.fast.shapes import choose_speech, measure_shapes
from wavlm.evaluation.fast.table import write_table
from wavlm.evaluation.frames import (
    FIT_FRAMES_PER_CLUSTER,
    ExtractLayers,
    fit_centroids,
    join_layers,
    sample_frames,
)
from wavlm.evaluation.plot import plot_scores
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import one_thread
from wavlm.features.frame_function import mfcc_at_frame_rate
from wavlm.features.hidden import HiddenLayers, default_device
from wavlm.features.mfcc import Floats
from wavlm.labels.centroids import Centroids
from wavlm.labels.facts import Quality
from wavlm.labels.files import Labels
from wavlm.labels.quality import label_quality
from wavlm.nn.description import read_network
from wavlm.rng import seed_for
from wavlm.shards import TarSample, Utterance, decode_sample, read_listing, samples_with_phones
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import SAMPLE_RATE_HZ, ScoresSpec
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid
from wavlm.storage.files import atomic_path, write_json

# What else is done with the frames of each layer of a judged utterance, given its number.
Keep = Callable[[int, list[Floats]], None]


def build_scores(
    spec: ScoresSpec,
    model_dir: Path,
    corpora: Mapping[str, Path],
    with_phones: Collection[str],
    out: Path,
    progress: Progress = no_progress,
) -> ScoresFacts:
    """Fill `out` with `scores.json`, the same as tables, and `scores.png`; return the facts.

    corpora: the shards folder of each corpus, by its name. with_phones: names of those that may have timed phones.
    """
    chosen = choose_utterances(spec, [folder for name, folder in corpora.items() if name in with_phones])
    layers = (0, *layers_of(spec, model_dir))
    rate_hz = read_sample_rate(*corpora.values())
    hidden = HiddenLayers(model_dir, layers[1:], default_device(), sample_rate_hz=rate_hz)

    def extract_layers(waveform: Floats) -> list[Floats]:
        return [mfcc_at_frame_rate(waveform, hidden.grid), *hidden(waveform)]

    with one_thread():
        reason = _find_obstacle(chosen, spec, hidden.grid)
        if reason is None:
            facts = _score_layers(extract_layers, layers, spec, chosen, hidden.grid, progress)
        else:
            facts = ScoresFacts(num_utterances=len(chosen.judged), scores=(), reason=reason)
        sample = choose_speech(corpora, spec.max_utterances, spec.seed)
        shapes = tuple(measure_shapes(extract_layers, layers, sample, spec, progress)) if sample.judged else ()
    facts = advise_layer(facts.model_copy(update={"shapes": shapes}))
    if facts.scores or facts.shapes:
        with atomic_path(out / SCORES_PLOT) as path:
            plot_scores(facts, spec.num_clusters).savefig(path, format="png", metadata={"Software": None})
    write_table(facts, out)
    write_json(scores_path(out), facts.model_dump(mode="json"))
    return facts


@dataclass(frozen=True)
class Chosen:
    """Utterances with timed phones, each in one of the two roles, in random order."""

    fitted: tuple[Utterance, ...]  # k-means is fitted on them
    judged: tuple[Utterance, ...]  # label quality is measured on them
    judged_on: Literal["valid", "train"]  # the split of those that are judged
    corpora: tuple[int, ...] = ()  # the number of the folder of each that is judged
    sample_rate_hz: int = SAMPLE_RATE_HZ


def choose_utterances(spec: ScoresSpec, shards_dirs: Sequence[Path]) -> Chosen:
    """A seeded choice of at most `max_utterances` among the utterances with phones, half of them for each role."""
    half = max(spec.max_utterances // 2, 1)
    train, valid = (_choose(spec, shards_dirs, split, 2 * half) for split in ("train", "valid"))
    if train and valid:
        fitted, judged = train[:half], valid[:half]
    else:
        alone = train or valid
        fitted, judged = alone[: len(alone) // 2], alone[len(alone) // 2 :]
    rate_hz = read_sample_rate(*shards_dirs)
    return Chosen(
        tuple(decode_sample(item, rate_hz) for _, item in fitted),
        tuple(decode_sample(item, rate_hz) for _, item in judged),
        "valid" if valid else "train",
        tuple(corpus for corpus, _ in judged),
        rate_hz,
    )


def _choose(spec: ScoresSpec, shards_dirs: Sequence[Path], split: str, count: int) -> list[tuple[int, TarSample]]:
    """Utterances with phones, with the numbers of their folders. Only those that are used are decoded later."""
    every = (
        (number, item) for number, shards_dir in enumerate(shards_dirs) for item in _read_with_phones(shards_dir, split)
    )
    return heapq.nsmallest(count, every, key=lambda found: seed_for(spec.seed, "probe", found[1].key))


def measure_quality(  # noqa: PLR0913, PLR0917  what is measured on which speech, and how
    extract_layers: ExtractLayers,
    fitted: Sequence[Utterance],
    judged: Sequence[Utterance],
    spec: ScoresSpec,
    grid: FrameGrid = PAPER_FRAMES,
    progress: Progress = no_progress,
    keep: Keep | None = None,
) -> list[Quality]:
    """Label quality of each layer on the judged utterances, by k-means that is fitted on the others."""
    of_layers = label_layers(extract_layers, fitted, judged, spec, progress, keep)
    return [
        label_quality(
            ((item.phones or (), found) for item, found in zip(judged, labels, strict=True)), spec.num_clusters, grid
        )
        for labels in of_layers
    ]


def label_layers(
    extract_layers: ExtractLayers,
    fitted: Sequence[Utterance],
    judged: Sequence[Utterance],
    spec: ScoresSpec,
    progress: Progress = no_progress,
    keep: Keep | None = None,
) -> list[list[Labels]]:
    """The labels (F,) of each judged utterance, layer by layer, by k-means that is fitted on the others."""
    total = len(fitted) + len(judged)
    most = FIT_FRAMES_PER_CLUSTER * spec.num_clusters
    samples = sample_frames(extract_layers, fitted, most, spec.seed, lambda done, _: progress(done, total))
    codebooks = [Centroids(fit_centroids(sample, spec)) for sample in join_layers(samples)]
    found: list[list[Labels]] = [[] for _ in codebooks]
    for place, item in enumerate(judged):
        progress(len(fitted) + place, total)
        layers = extract_layers(item.waveform)
        for number, features in enumerate(layers):
            found[number].append(codebooks[number].assign(features, item.key))
        if keep:
            keep(place, layers)
    progress(total, total)
    return found


def layers_of(spec: ScoresSpec, model_dir: Path) -> tuple[int, ...]:
    """The layers of a model that are scored, from 1 on."""
    return spec.layers or tuple(range(1, read_network(model_dir).network.num_layers + 1))


def _find_obstacle(chosen: Chosen, spec: ScoresSpec, grid: FrameGrid) -> str | None:
    """Why no label quality can be measured; None if it can."""
    if not chosen.fitted or not chosen.judged:
        return "fewer than two utterances with timed phones in any corpus"
    lengths = [len(item.waveform) for item in chosen.fitted]
    found = int(grid.count(lengths).sum())
    if found < spec.num_clusters:
        return f"{found} frames with timed phones for k-means, expected one per cluster or more: {spec.num_clusters}"
    return None


def _score_layers(
    extract_layers: ExtractLayers,
    layers: Sequence[int],
    spec: ScoresSpec,
    chosen: Chosen,
    grid: FrameGrid,
    progress: Progress,
) -> ScoresFacts:
    contrasts = Contrasts(chosen.judged, chosen.corpora, spec, grid)
    kept: list[dict[int, Floats]] = []
    qualities = measure_quality(
        extract_layers,
        chosen.fitted,
        chosen.judged,
        spec,
        grid,
        progress,
        lambda number, features: contrasts.keep(number, features, kept),
    )
    errors = contrasts.score(kept)
    scores = tuple(
        LayerScore(name=f"layer {layer}" if layer else "mfcc", layer=layer, quality=quality, abx=errors[place])
        for place, (layer, quality) in enumerate(zip(layers, qualities, strict=True))
    )
    best = max(scores[1:], key=lambda item: item.quality.pnmi)
    return ScoresFacts(
        num_utterances=len(chosen.fitted) + len(chosen.judged),
        judged_on=chosen.judged_on,
        num_clusters=spec.num_clusters,
        scores=scores,
        mfcc_pnmi=scores[0].quality.pnmi,
        best_pnmi=best.quality.pnmi,
        best_layer=best.layer,
        notes=contrasts.notes,
    )


def _read_with_phones(shards_dir: Path, split: str) -> Iterator[TarSample]:
    """Utterances of a split with phones. An utterance without a phone may be followed by shards full of them."""
    for name in sorted(read_listing(shards_dir)):
        if name.startswith(f"{split}-"):
            yield from samples_with_phones(shards_dir / name)
