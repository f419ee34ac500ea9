"""What stages report of a small store, for tests that make no data. Change a field with `model_copy`."""

from __future__ import annotations

from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.evaluation.facts import AbxScore, LayerScore, LayerShape, Mode, ScoresFacts
from wavlm.labels.facts import CodebookFacts, CorpusShare, Fit, Quality
from wavlm.mixing.facts import MixturesFacts
from wavlm.pipeline.artifacts import Codebook
from wavlm.shards.facts import ShardsFacts

SHARDS = ShardsFacts(
    recordings=902,
    recordings_used=900,
    excluded={},
    rejected={"too_short": 2},
    utterances=900,
    speakers=3,
    hours=1.5,
    valid_hours=0.1,
    shards=1,
    bytes=1000,
    repeated_recordings=0,
    in_both_splits=0,
)

AMOUNT = Amount(recordings=902, microseconds=round(1.5 * 3.6e9))
CORPUS = CorpusFacts(
    role="speech",
    utterances=902,
    speakers=3,
    hours=1.5,
    without_header=0,
    with_text=0,
    with_phones=0,
    split_rule="none",
    split_below=0.0,
    valid_utterances=0,
    valid_hours=0.0,
    found=AMOUNT,
    train=AMOUNT,
    valid=Amount(),
    excluded={},
    duplicate_contents=0,
    archives=(),
)

MIXTURES = MixturesFacts(
    utterances=2,
    hours=0.01,
    with_speech=1,
    with_noise=1,
    heard=2,
    mixed_share=0.5,
    mean_ratio_db=3.0,
    turned_down=0,
    listening_pairs=1,
)


def codebook_facts(artifact: Codebook, num_clusters: int) -> CodebookFacts:
    """Of k-means that converged, from 1.5 hours of each corpus."""
    fit = Fit(
        num_frames=8000,
        inertia_per_frame=1.0,
        used_clusters=num_clusters,
        empty_clusters=0,
        entropy_bits=5,
        perplexity=32,
    )
    names = [item.corpus.name for item in artifact.shards]
    return CodebookFacts(
        features=artifact.spec.features,
        num_clusters=num_clusters,
        num_channels=39,
        label_rate_hz=100,
        sample_utterances=100 * len(names),
        sample_speakers=len(names),
        shares=tuple(CorpusShare(corpus=name, hours=1.5, utterances=100, speakers=1, frames=8000) for name in names),
        inertia_per_iteration=(2.0, 1.0),
        train=fit,
        valid=None,
        sha256="0" * 64,
    )


def quality(pnmi: float, num_frames: int = 100) -> Quality:
    return Quality(phone_purity=0.4, cluster_purity=0.1, pnmi=pnmi, num_frames=num_frames)


def abx_score(mode: Mode, error: float) -> AbxScore:
    """With an interval of 0.05 on each side."""
    return AbxScore(
        mode=mode,
        error=error,
        low=round(error - 0.05, 6),
        high=round(error + 0.05, 6),
        confidence=0.95,
        num_triplets=600,
        num_cells=100,
        num_pairs=50,
        num_speakers=3,
        num_blocks=10,
        unit="utterances",
    )


def layer_shape(layer: int, rank: float) -> LayerShape:
    """Of all corpora."""
    return LayerShape(
        name=f"layer {layer}" if layer else "mfcc",
        layer=layer,
        splits=("valid",),
        num_frames=900,
        num_utterances=10,
        effective_rank=rank,
        inertia_share=0.5,
        used_clusters=48,
        entropy_bits=5.1,
        davies_bouldin=2.5,
    )


def scores_facts(num_clusters: int) -> ScoresFacts:
    """The second layer is the best, and better than MFCC."""
    figures = [("mfcc", 0.3, 0.2), ("layer 1", 0.35, 0.16), ("layer 2", 0.45, 0.125)]
    return ScoresFacts(
        num_utterances=20,
        judged_on="valid",
        num_clusters=num_clusters,
        mfcc_pnmi=0.3,
        best_pnmi=0.45,
        best_layer=2,
        scores=tuple(
            LayerScore(name=name, layer=layer, quality=quality(pnmi), abx=(abx_score("within", error),))
            for layer, (name, pnmi, error) in enumerate(figures)
        ),
        shapes=tuple(layer_shape(layer, rank) for layer, rank in enumerate((9.0, 20.0, 30.0))),
        advised_layer=2,
        advice="cluster layer 2 next: its PNMI is the highest, 0.450",
        notes=("no ABX across speakers: 0 cells in 10 utterances, expected 10 or more",),
    )
