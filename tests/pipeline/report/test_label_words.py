"""What a report says of where labels come from."""

from __future__ import annotations

import pytest

from wavlm.labels.facts import CodebookFacts, Fit
from wavlm.pipeline.report.label_words import say_errors, say_labels
from wavlm.specs import Features, HiddenFeatures, LogMelFeatures, MfccFeatures

FIT = Fit(num_frames=9, inertia_per_frame=1.0, used_clusters=5, empty_clusters=0, entropy_bits=1.0, perplexity=2.0)
LAYER, LOG_MEL = HiddenFeatures(type="hidden", layer=9), LogMelFeatures(type="log_mel")


def facts(kind: str, features: Features | None, **fields: object) -> CodebookFacts:
    given: dict[str, object] = {
        "type": kind,
        "features": features,
        "num_clusters": 500,
        "num_channels": 3,
        "label_rate_hz": 50,
        "sample_utterances": 1,
        "sample_speakers": 1,
        "inertia_per_iteration": (),
        "train": FIT,
        "valid": None,
        "sha256": "0" * 64,
        **fields,
    }
    return CodebookFacts.model_validate(given)


@pytest.mark.parametrize(
    ("codebook", "words"),
    [
        (facts("kmeans", MfccFeatures(type="mfcc")), "K-means with 500 clusters of MFCC"),
        (facts("kmeans", LAYER), "K-means with 500 clusters of layer 9 of the model before"),
        (facts("random_projection", LOG_MEL), "1 random projection with 500 vectors of log mel energies"),
        (
            facts("multi_codebook", LAYER, num_streams=8),
            "8 codebooks that add up, with 500 centres each, of layer 9 of the model before",
        ),
        (facts("external", None, num_streams=2), "Labels of 500 classes from a file, 2 per frame"),
    ],
)
def test_a_report_says_what_labels_are_made_with(codebook: CodebookFacts, words: str) -> None:
    assert say_labels(codebook) == words
    assert say_errors(codebook) == ""


def test_a_report_says_what_each_codebook_adds() -> None:
    found = say_errors(facts("multi_codebook", LAYER, num_streams=2, stream_errors=(0.5, 0.25)))
    assert "0.500, 0.250 of the variance" in found
