"""Specs: frozen, strict models of recipes, corpora, networks and training; their fields are parts of keys.

What only changes how something is run (GPUs, workers, the store's folder) is in `wavlm.execution.runtime`. It can
never be a field of an artifact.
"""

from __future__ import annotations

from wavlm.specs.access import AccessSpec
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
    SampleRate,
    Sha256,
    Spec,
)
from wavlm.specs.corpora import CorpusSpec, HoldOut
from wavlm.specs.evaluation import BaselineSpec, EvaluationSpec, SuiteSpec
from wavlm.specs.features import Features, HiddenFeatures, LogMelFeatures, MfccFeatures
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.gate import GateSpec
from wavlm.specs.iteration import IterationSpec
from wavlm.specs.label_sources import (
    ExternalLabelsSpec,
    FittedSource,
    LabelSource,
    MultiCodebookSpec,
    RandomProjectionSpec,
    hidden_features,
    name_features,
)
from wavlm.specs.labelling import CodebookSpec, RefitSpec, SampledSpec, ScoresSpec, ShardSpec
from wavlm.specs.layouts import Layout
from wavlm.specs.made import MadeSource
from wavlm.specs.mixing import EffectName, EffectSpec, MixSpec, MixturesSpec
from wavlm.specs.models import ModelArchive, ModelFolder, ModelSource, ModelSpec, ModelVersion
from wavlm.specs.network import ConvLayer, NetworkSpec, paper_conv_layers
from wavlm.specs.objectives import Contrastive, MaskedPrediction, Objective, QuantizerSpec
from wavlm.specs.paths import Below
from wavlm.specs.recipe import Recipe
from wavlm.specs.sampling import UNKNOWN_LANGUAGE, BalanceSpec, Group, SamplingSpec
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.sources import AptSource, Archive, FolderSource, HttpsSource, Source
from wavlm.specs.start import StartSpec
from wavlm.specs.training import MaskSpec, TrainSpec

__all__ = [
    "HOP_SAMPLES",
    "SAMPLE_RATE_HZ",
    "UNKNOWN_LANGUAGE",
    "AccessSpec",
    "AptSource",
    "Archive",
    "BalanceSpec",
    "BaselineSpec",
    "Below",
    "CodebookSpec",
    "Contrastive",
    "ConvLayer",
    "CorpusSpec",
    "Count",
    "EffectName",
    "EffectSpec",
    "EvaluationSpec",
    "ExternalLabelsSpec",
    "Features",
    "FinetuneSpec",
    "FittedSource",
    "FolderSource",
    "GateSpec",
    "Group",
    "HiddenFeatures",
    "HoldOut",
    "HttpsSource",
    "IterationSpec",
    "LabelSource",
    "Layout",
    "LogMelFeatures",
    "MadeSource",
    "MaskSpec",
    "MaskedPrediction",
    "Md5",
    "MfccFeatures",
    "MixSpec",
    "MixturesSpec",
    "ModelArchive",
    "ModelFolder",
    "ModelSource",
    "ModelSpec",
    "ModelVersion",
    "MultiCodebookSpec",
    "Name",
    "Natural",
    "NetworkSpec",
    "NonNegative",
    "Objective",
    "Positive",
    "Probability",
    "QuantizerSpec",
    "RandomProjectionSpec",
    "Recipe",
    "RefitSpec",
    "SampleRate",
    "SampledSpec",
    "SamplingSpec",
    "ScoresSpec",
    "Sha256",
    "ShardSpec",
    "SimulationSpec",
    "Source",
    "Spec",
    "StartSpec",
    "SuiteSpec",
    "TrainSpec",
    "hidden_features",
    "name_features",
    "paper_conv_layers",
]
