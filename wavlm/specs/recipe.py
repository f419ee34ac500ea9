"""A whole model, from corpora to registry."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Name, NonNegative, Spec
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.labelling import CodebookSpec, ScoresSpec, ShardSpec
from wavlm.specs.mixing import MixSpec, MixturesSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.training import StartSpec, TrainSpec


class GateSpec(Spec):
    """When a new version becomes `champion`: better than the current one by this metric."""

    metric: Literal["valid/loss", "valid/masked_accuracy", "labels/pnmi", "probe/pnmi"]
    higher_is_better: bool
    min_improvement: NonNegative = 0.0


class IterationSpec(Spec):
    """One round of clustering and pre-training."""

    codebook: CodebookSpec
    network: NetworkSpec
    train: TrainSpec
    mix: MixSpec | None = None  # in YAML: the name of a file of data_specs/mixes
    start: StartSpec | None = None  # None: random weights
    speech: tuple[Name, ...] = ()  # names out of the recipe's speech corpora; empty: all of them


class Recipe(Spec):
    """A whole model, from corpora to registry.

    In a recipe file corpora and mixes are names of files of data_specs; `recipe.read_recipe`
    replaces each by its content.
    """

    name: Name
    description: str
    registry_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    speech: tuple[CorpusSpec, ...] = Field(min_length=1)
    noise: tuple[CorpusSpec, ...] = ()
    rooms: tuple[CorpusSpec, ...] = ()
    shards: ShardSpec
    noise_shards: ShardSpec | None = None
    mixtures: MixturesSpec | None = None
    iterations: tuple[IterationSpec, ...] = Field(min_length=1)
    probe: ScoresSpec | None = None
    gate: GateSpec | None = None

    @model_validator(mode="after")
    def _check_consistent(self) -> Recipe:
        names = [corpus.name for corpus in (*self.speech, *self.noise, *self.rooms)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"corpora named twice: {', '.join(twice)}")
        speech = {corpus.name for corpus in self.speech}
        for number, iteration in enumerate(self.iterations, 1):
            if unknown := sorted(set(iteration.speech) - speech):
                raise ValueError(
                    f"iteration {number} trains on {', '.join(unknown)}, not among the recipe's "
                    f"speech corpora {', '.join(sorted(speech))}"
                )
            if number == 1 and iteration.codebook.features.type == "hidden":
                raise ValueError("iteration 1 has no previous model whose layer could be clustered")
            if iteration.mix and iteration.mix.noise_probability > 0 and not self.noise:
                raise ValueError(f"iteration {number} mixes in noise, but the recipe lists none")
            wants_rooms = iteration.mix and any(it.name == "room" for it in iteration.mix.effects)
            if wants_rooms and not self.rooms:
                raise ValueError(f"iteration {number} has the effect room, but there are no rooms")
        self._check_layers()
        return self

    def _check_layers(self) -> None:
        """Refuse layers that no model will have now, not after a model has been trained."""
        for number, (teacher, iteration) in enumerate(pairwise(self.iterations), 2):
            features, there_are = iteration.codebook.features, teacher.network.num_layers
            if features.type == "hidden" and features.layer > there_are:
                raise ValueError(
                    f"iteration {number} clusters layer {features.layer}, but the model of "
                    f"iteration {number - 1} has {there_are} layers"
                )
        fewest = min(iteration.network.num_layers for iteration in self.iterations)
        deepest = max(self.probe.layers if self.probe else (), default=0)
        if deepest > fewest:
            raise ValueError(f"probe.layers names layer {deepest}, but a model has {fewest} layers")
