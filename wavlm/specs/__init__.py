"""What is wanted: frozen, strict models of everything that gives an artifact its identity.

A field here is part of a key. What only changes how something is run (gpus, workers, paths of the
store) lives in `wavlm.execution.Runtime` and can never be a field of an artifact.
"""

from __future__ import annotations

from wavlm.specs.base import (
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    Count,
    Md5,
    Name,
    Natural,
    NonNegative,
    Positive,
    Probability,
    Sha256,
    Spec,
)
from wavlm.specs.corpora import (
    AptSource,
    AsteriskLayout,
    Below,
    CorpusSpec,
    FestvoxLayout,
    FilletsLayout,
    FolderSource,
    GenericLayout,
    HttpsSource,
    Layout,
    LibrispeechLayout,
    Source,
)
from wavlm.specs.labelling import (
    CodebookSpec,
    Features,
    HiddenFeatures,
    MfccFeatures,
    ScoresSpec,
    ShardSpec,
)
from wavlm.specs.mixing import EffectSpec, MixSpec, MixturesSpec
from wavlm.specs.network import ConvLayer, NetworkSpec, paper_conv_layers
from wavlm.specs.recipe import GateSpec, IterationSpec, Recipe
from wavlm.specs.training import MaskedPrediction, MaskSpec, Objective, StartSpec, TrainSpec

__all__ = [
    "HOP_SAMPLES",
    "SAMPLE_RATE_HZ",
    "AptSource",
    "AsteriskLayout",
    "Below",
    "CodebookSpec",
    "ConvLayer",
    "CorpusSpec",
    "Count",
    "EffectSpec",
    "Features",
    "FestvoxLayout",
    "FilletsLayout",
    "FolderSource",
    "GateSpec",
    "GenericLayout",
    "HiddenFeatures",
    "HttpsSource",
    "IterationSpec",
    "Layout",
    "LibrispeechLayout",
    "MaskSpec",
    "MaskedPrediction",
    "Md5",
    "MfccFeatures",
    "MixSpec",
    "MixturesSpec",
    "Name",
    "Natural",
    "NetworkSpec",
    "NonNegative",
    "Objective",
    "Positive",
    "Probability",
    "Recipe",
    "ScoresSpec",
    "Sha256",
    "ShardSpec",
    "Source",
    "Spec",
    "StartSpec",
    "TrainSpec",
    "paper_conv_layers",
]
