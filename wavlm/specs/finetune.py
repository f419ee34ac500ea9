"""Specs of fine-tuning: a task with a head on a network that is trained with it, in stages, on augmented waveforms."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from wavlm.specs.base import Count, FieldError, Name, Natural, Spec
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.evaluation import BaselineSpec
from wavlm.specs.heads import HeadSpec
from wavlm.specs.labelling import ShardSpec
from wavlm.specs.mixing import MixSpec
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.splits import Folds, SplitSpec
from wavlm.specs.stages import FinetuneStage
from wavlm.specs.tasks import TaskSpec

_HEAD: TypeAdapter[Any] = TypeAdapter(HeadSpec)


class FinetuneSpec(Spec):
    """A system: a network and a head that are trained for one task. A file of data_specs/finetunes."""

    # Corpora, shards and the model are artifacts of their own, which a system names by key.
    not_identity: ClassVar[frozenset[str]] = frozenset(
        {
            "baseline",
            "corpora",
            "description",
            "model",
            "noise",
            "protocol",
            "reality",
            "registry_name",
            "rooms",
            "shards",
            "simulation",
            "system",
        }
    )

    name: Name
    """Name of the system, and of its file without `.yaml`."""

    description: str
    """What the system does and what it is trained on, for people and tables."""

    registry_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Name of the system in the MLflow registry."""

    model: str = ""
    """The model that the system stands on.

    A folder or a file, NAME@ALIAS or NAME:VERSION of the registry, or a file of data_specs/models. In a recipe: one of
    its models; empty: that of the last iteration. Or a baseline, as in `wavlm evaluate`: fbank, mfcc, random:NETWORK.
    Change: give another one with `wavlm finetune SPEC --model MODEL`.
    """

    system: str = ""
    """The system that training goes on from, in place of a model: its network and its head.

    Another file of data_specs/finetunes, which is trained first; a folder that `wavlm finetune` made; NAME@ALIAS or
    NAME:VERSION of the registry. In a recipe: a system before this one, or one of its models that is `part: system`.
    Weights are taken by name. What depends on the classes, such as a row per training speaker, begins anew where the
    classes are others.
    Change: to adapt a system to other data. Another one: `wavlm finetune SPEC --system SYSTEM`.
    """

    baseline: BaselineSpec | None = None
    """A baseline in place of a model, written out. In YAML `model: fbank` is enough.

    Change: rarely.
    """

    task: TaskSpec
    """The task, by its short name, as in evaluations."""

    head: HeadSpec
    """The head, as in evaluations."""

    corpora: tuple[CorpusSpec, ...] = ()
    """The labelled corpora. In YAML: names of files of data_specs/corpora.

    Change: needed where there is no `simulation`.
    """

    simulation: SimulationSpec | None = None
    """Simulated conversations, which are made and packed before. In YAML: the name of a file of data_specs/simulations.

    Their parts are train, dev and test. Beside `corpora`, or in place of them.
    Change: give it to train diarizers on talk whose turns are known by construction.
    """

    shards: ShardSpec = ShardSpec(min_seconds=0.1, max_seconds=3600.0, max_rejected=0.0)
    """How the recordings are packed, as in evaluations.

    Change: only where recordings are hours long, or some are known to be broken.
    """

    split: SplitSpec
    """What is trained on, what weights are chosen by, and what is scored."""

    mix: MixSpec | None = None
    """Augmentation of the training waveforms: mixing and effects. In YAML: the name of a file of data_specs/mixes.

    Targets stay those of the recording, so speech is mixed in only where the task allows it. Mixtures of the tasks se
    and ss have none: what is mixed there is the task's.
    Change: noise and rooms for systems that meet them.
    """

    noise: tuple[CorpusSpec, ...] = ()
    """Noise for the mix, or for a task that mixes it in. In YAML: names of files of data_specs/corpora.

    Change: needed by mixes with a `noise_probability` above 0.
    """

    rooms: tuple[CorpusSpec, ...] = ()
    """Corpora of room impulse responses. In YAML: names of files of data_specs/corpora.

    Change: needed by mixes with the effect `room`.
    """

    stages: tuple[FinetuneStage, ...] = Field(min_length=1)
    """The stages, in order: such as frozen, joint, and with a larger margin."""

    seed: Natural = 0
    """Seed of the head's weights, of order, crops, mixing, masks and dropout.

    Change: to see how much it decides.
    """

    max_utterances: Count | None = None
    """At most so many recordings of each part, chosen by their keys.

    Unit: utterances.
    Change: to save time. A part that was cut is said in the results.
    """

    protocol: str = ""
    """Name of the published protocol that this follows to the letter. Empty: none.

    Change: give it only where head, data, split and training are the published ones.
    """

    reality: Literal["real", "simulated", "synthetic"] = "real"
    """What the speech is, as in evaluations.

    Change: simulated where we mix, synthetic where nobody spoke.
    """

    def head_in(self, stage: int) -> HeadSpec:
        """The head as it is in a stage, counted from 0."""
        fields = {**self.head.model_dump(mode="json"), **self.stages[stage].head}
        found: HeadSpec = _HEAD.validate_json(json.dumps(fields))  # in JSON a tuple is a list, as in a YAML file
        return found

    @model_validator(mode="after")
    def _check_head(self) -> FinetuneSpec:
        if self.head.type == "none":
            raise FieldError("the head `none` is not trained, expected one that is", "head", "type")
        if self.head.type not in self.task.heads:
            raise FieldError(
                f"the task {self.task.type} has no head {self.head.type}, expected {' or '.join(self.task.heads)}",
                *("head", "type"),
            )
        for number in range(len(self.stages)):
            self._check_stage_head(number)
        if isinstance(self.split, Folds):
            raise FieldError("a system is one network, expected another split than folds", "split", "type")
        return self

    def _check_stage_head(self, number: int) -> None:
        at = ("stages", number, "head")
        if "type" in self.stages[number].head:
            raise FieldError("the type of the head stays the same in all stages", *at, "type")
        try:
            self.head_in(number)
        except ValidationError as error:
            first = error.errors()[0]
            raise FieldError(first["msg"], *at, *first["loc"][1:]) from error

    @model_validator(mode="after")
    def _check_data(self) -> FinetuneSpec:
        if not self.corpora and self.simulation is None:
            raise FieldError("there are no data: name one corpus or more, or a simulation", "corpora")
        return self

    @model_validator(mode="after")
    def _check_subject(self) -> FinetuneSpec:
        if self.system and (self.model or self.baseline is not None):
            raise FieldError("it stands on a model and goes on from a system: leave one of them out", "system")
        return self

    @model_validator(mode="after")
    def _check_mix(self) -> FinetuneSpec:
        if self.mix is not None and self.task.type in {"se", "ss"}:
            raise FieldError(
                f"the spectra and targets of the task {self.task.type} are those of its mixtures, so nothing can be "
                "mixed in besides: use `mix` of the task",
                "mix",
            )
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> FinetuneSpec:
        mixes_in = self.mix is not None and self.mix.noise_probability > 0
        if mixes_in and not self.noise:
            raise FieldError("the mix adds noise, so it needs some: name corpora of the role noise", "noise")
        has_rooms = self.mix is not None and any(effect.name == "room" for effect in self.mix.effects)
        if has_rooms and not self.rooms:
            raise FieldError("the mix has the effect room, but there are no rooms", "rooms")
        frozen = [number for number, stage in enumerate(self.stages) if stage.frozen != "all"]
        if self.baseline is not None and self.baseline.type != "random" and frozen:
            raise FieldError(
                f"the baseline {self.baseline.type} has no network that could be trained: freeze all",
                *("stages", frozen[0], "frozen"),
            )
        return self
