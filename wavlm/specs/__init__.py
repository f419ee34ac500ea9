"""What is wanted: frozen, strict models of everything that gives an artifact its identity.

A field here is part of a key. What only changes how something is run (gpus, workers, paths of the
store) lives in `Runtime` and can never be a field of an artifact.
"""

from __future__ import annotations

from wavlm.specs.base import (
    HOP_SAMPLES as HOP_SAMPLES,
)
from wavlm.specs.base import (
    SAMPLE_RATE_HZ as SAMPLE_RATE_HZ,
)
from wavlm.specs.base import (
    Count as Count,
)
from wavlm.specs.base import (
    Md5 as Md5,
)
from wavlm.specs.base import (
    Name as Name,
)
from wavlm.specs.base import (
    Natural as Natural,
)
from wavlm.specs.base import (
    NonNegative as NonNegative,
)
from wavlm.specs.base import (
    Positive as Positive,
)
from wavlm.specs.base import (
    Probability as Probability,
)
from wavlm.specs.base import (
    Sha256 as Sha256,
)
from wavlm.specs.base import (
    Spec as Spec,
)
from wavlm.specs.corpora import (
    AptSource as AptSource,
)
from wavlm.specs.corpora import (
    AsteriskLayout as AsteriskLayout,
)
from wavlm.specs.corpora import (
    CorpusSpec as CorpusSpec,
)
from wavlm.specs.corpora import (
    FestvoxLayout as FestvoxLayout,
)
from wavlm.specs.corpora import (
    FilletsLayout as FilletsLayout,
)
from wavlm.specs.corpora import (
    FolderSource as FolderSource,
)
from wavlm.specs.corpora import (
    GenericLayout as GenericLayout,
)
from wavlm.specs.corpora import (
    HttpsSource as HttpsSource,
)
from wavlm.specs.corpora import (
    Layout as Layout,
)
from wavlm.specs.corpora import (
    LibrispeechLayout as LibrispeechLayout,
)
from wavlm.specs.corpora import (
    Source as Source,
)
from wavlm.specs.labelling import (
    CodebookSpec as CodebookSpec,
)
from wavlm.specs.labelling import (
    Features as Features,
)
from wavlm.specs.labelling import (
    HiddenFeatures as HiddenFeatures,
)
from wavlm.specs.labelling import (
    MfccFeatures as MfccFeatures,
)
from wavlm.specs.labelling import (
    ProbeSpec as ProbeSpec,
)
from wavlm.specs.labelling import (
    ShardSpec as ShardSpec,
)
from wavlm.specs.mixing import (
    EffectSpec as EffectSpec,
)
from wavlm.specs.mixing import (
    MixSpec as MixSpec,
)
from wavlm.specs.mixing import (
    MixturesSpec as MixturesSpec,
)
from wavlm.specs.network import (
    ConvLayer as ConvLayer,
)
from wavlm.specs.network import (
    NetworkSpec as NetworkSpec,
)
from wavlm.specs.network import (
    paper_conv_layers as paper_conv_layers,
)
from wavlm.specs.recipe import (
    GateSpec as GateSpec,
)
from wavlm.specs.recipe import (
    IterationSpec as IterationSpec,
)
from wavlm.specs.recipe import (
    Recipe as Recipe,
)
from wavlm.specs.recipe import (
    Runtime as Runtime,
)
from wavlm.specs.training import (
    MaskSpec as MaskSpec,
)
from wavlm.specs.training import (
    TrainSpec as TrainSpec,
)
