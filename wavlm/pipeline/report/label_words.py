"""What labels are made with, in words, and what several streams of them are worth."""

from __future__ import annotations

from wavlm.labels.facts import CodebookFacts
from wavlm.specs import HiddenFeatures, MfccFeatures


def say_labels(codebook: CodebookFacts) -> str:
    """The beginning of a sentence: what makes how many labels of what."""
    clusters, streams = f"{codebook.num_clusters:,}", codebook.num_streams
    features = codebook.features
    if features is None:
        return f"Labels of {clusters} classes from a file" + (f", {streams} per frame" if streams > 1 else "")
    if isinstance(features, HiddenFeatures):
        of = f"layer {features.layer} of the model before"
    else:
        of = "MFCC" if isinstance(features, MfccFeatures) else "log mel energies"
    match codebook.type:
        case "random_projection":
            return f"{streams} random projection{'s' if streams > 1 else ''} with {clusters} vectors of {of}"
        case "multi_codebook":
            return f"{streams} codebooks that add up, with {clusters} centres each, of {of}"
        case _:
            return f"K-means with {clusters} clusters of {of}"


def say_errors(codebook: CodebookFacts) -> str:
    """What each codebook of several adds; empty for others."""
    errors = [f"{error:.3f}" for error in codebook.stream_errors]
    return f"The squared error falls codebook by codebook: {', '.join(errors)} of the variance." if errors else ""
