"""What a report says: typed values, gathered from the store before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.facts import ScoresFacts
from wavlm.evaluation.results.board import Board
from wavlm.labels.facts import CodebookFacts, LabelsFacts
from wavlm.mixing.facts import MixturesFacts
from wavlm.mixing.truth import Truth
from wavlm.pipeline.artifacts import Artifact, Model
from wavlm.pipeline.curves import Curve
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.results import IterationResults
from wavlm.shards.facts import ShardsFacts
from wavlm.shards.rejects import Reject
from wavlm.specs import CorpusSpec, Recipe

Waveform = npt.NDArray[np.float32]  # (N samples,)


@dataclass(frozen=True)
class CorpusPart:
    """A corpus as its stages left it; None for what is no longer in the store."""

    spec: CorpusSpec
    found: CorpusFacts | None
    packed: ShardsFacts | None
    examples: tuple[Reject, ...]  # some refused recordings of each reason
    share: float | None  # of the sample that the labels were fitted on, 0 to 1; None: it is not in the sample

    @property
    def hours(self) -> float | None:
        return self.packed.hours if self.packed else None


@dataclass(frozen=True)
class LabelsPart:
    """The labels of one corpus; None if they are no longer in the store."""

    corpus: str
    facts: LabelsFacts | None


@dataclass(frozen=True)
class Histogram:
    """How often each label occurs in the files that were counted."""

    counts: tuple[int, ...]  # by label
    num_labels: int  # of all files; `counts` may hold fewer

    @property
    def counted(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class ListeningPair:
    """An excerpt of an utterance before and after mixing or one effect."""

    name: str  # key of the mixture, or of the effect
    clean: Waveform
    mixed: Waveform
    start_s: float  # where the excerpt begins in the utterance
    truth: Truth | None  # None: one effect alone
    sample_rate_hz: int = 16000


@dataclass(frozen=True)
class MixturesPart:
    """The fixed mixtures that an iteration is validated on."""

    facts: MixturesFacts
    folder: str  # below the store
    pairs: tuple[ListeningPair, ...]
    left_out: int  # pairs that are in the folder and not on the page


@dataclass(frozen=True)
class MadePart:
    """One artifact that the model was made from, or that was made from it."""

    artifact: Artifact
    folder: str  # below the store
    first_iteration: int  # the earliest iteration that needs it
    finished_unix: float | None  # None: it is no longer in the store
    seconds: float | None  # of the attempt that finished it
    num_bytes: int | None
    versions: Mapping[str, str | None]  # of what made it


@dataclass(frozen=True)
class Report:
    """Everything that one page says about one iteration."""

    model: Model
    recipe: Recipe
    results: IterationResults
    before: tuple[IterationResults, ...]  # of its teachers, first iteration first
    findings: tuple[str, ...]
    training: Mapping[str, object]
    curves: Mapping[str, Curve]
    corpora: tuple[CorpusPart, ...]
    codebook: CodebookFacts | None
    labels: tuple[LabelsPart, ...]
    histogram: Histogram | None
    scores: ScoresFacts | None
    mixtures: MixturesPart | None
    made: tuple[MadePart, ...]
    registration: RegistrationFacts | None
    board: Board  # of the recipe's suite, for this model and the baselines beside it
    systems: Board  # that the recipe fine-tunes on this model
