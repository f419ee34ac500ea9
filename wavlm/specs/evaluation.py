"""Specs of evaluations: a task on given data, how its head is fitted, and suites of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from wavlm.specs.base import Count, FieldError, Name, Natural, NonNegative, Positive, Spec
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.generation import SpeechEnhancement
from wavlm.specs.heads import HeadSpec
from wavlm.specs.labelling import ShardSpec
from wavlm.specs.models import ModelSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.splits import ByPart, Folds, SplitSpec
from wavlm.specs.tasks import TaskSpec


class FbankBaseline(Spec):
    """Log mel filter banks with deltas: what a model has to beat."""

    type: Literal["fbank"]
    """Selects 80 log mel energies with first and second differences, 100 frames per second.

    Source: the FBANK row of SUPERB's tables.
    """


class MfccBaseline(Spec):
    """MFCC with deltas: what the first iteration's labels are made of."""

    type: Literal["mfcc"]
    """Selects the 39 MFCC of the first iteration, 100 frames per second."""


class RandomBaseline(Spec):
    """A network with random weights: what the architecture gives without any training."""

    type: Literal["random"]
    """Selects a network that was never trained."""

    network: NetworkSpec | None = None
    """The network. In YAML: the name of a file of data_specs/networks. Not given: that of the model beside it.

    Change: to have one row for models of several networks.
    """

    seed: Natural = 0
    """Seed of the weights.

    Change: to see how much the draw decides.
    """


BaselineSpec = Annotated[FbankBaseline | MfccBaseline | RandomBaseline, Field(discriminator="type")]


class FitSpec(Spec):
    """How a head is fitted: a search over learning rates on the dev part, with early stopping, for each seed."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The optimizer.

    Source: SUPERB uses Adam, SUPERB-SG AdamW.
    Change: as the published recipe of the task says.
    """

    learning_rates: tuple[Positive, ...] = Field(min_length=1)
    """The learning rates that are tried. The one that is best on the dev part is tested, the others never.

    Source: SUPERB searches 1e-1 to 1e-7 on a log scale, for each task and model.
    Change: fewer for a quick look: the result says where the best one stands at the edge of the list.
    """

    updates: Count
    """Updates at most.

    Unit: updates.
    """

    batch: Count
    """Utterances per update.

    Unit: utterances.
    """

    balance_classes: bool = False
    """True: each update draws its utterances with replacement, and all targets alike often, however many have them.

    Source: SUPERB's keyword spotting, where most recordings are of the class for all other words.
    Change: true where few classes have most of the training part, and the test part is even.
    """

    dev_every: Count
    """How often the head is scored on the dev part. The head that was best is kept.

    Unit: updates.
    """

    patience: Count = 5
    """Fitting ends when so many scores on the dev part in a row were no better.

    Unit: scores on the dev part.
    Change: a large number fits to the last update, as the reference does.
    """

    warm_up: Natural = 0
    """The learning rate grows linearly to its value over so many updates.

    Unit: updates.
    Change: as the published recipe of the task says.
    """

    weight_decay: NonNegative = 0.0
    """Decay of the weights per update, decoupled in AdamW.

    Change: as the published recipe of the task says.
    """

    max_gradient: Positive = 1.0
    """Longest gradient: longer ones are scaled down to this norm.

    Source: s3prl clips to 1.
    Change: as the published recipe of the task says.
    """

    seeds: tuple[Natural, ...] = (0,)
    """Each learning rate is tried with each seed; the tested heads are those of all seeds, and the score is their mean.

    Change: three or more to see how far seeds matter.
    """

    @model_validator(mode="after")
    def _check_attempts(self) -> FitSpec:
        """A learning rate is told from others by six digits: fits are saved by them."""
        tried = {"learning_rates": [f"{it:g}" for it in self.learning_rates], "seeds": [*map(str, self.seeds)]}
        for field, names in tried.items():
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise FieldError(f"{', '.join(twice)} is tried twice, expected each once", field)
        return self


class EvaluationSpec(Spec):
    """One task on given data: a file of data_specs/evaluations."""

    # Corpora and shards are artifacts of their own, which an evaluation names by key.
    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"corpora", "description", "deviation", "noise", "protocol", "reality", "shards", "simulation"}
    )

    name: Name
    """Name of the evaluation, and of its file without `.yaml`."""

    description: str
    """What is measured, on which data, for people and tables."""

    task: TaskSpec
    """The task, by its short name in SUPERB."""

    corpora: tuple[CorpusSpec, ...] = ()
    """The labelled corpora. In YAML: names of files of data_specs/corpora.

    Change: needed where there is no `simulation`.
    """

    simulation: SimulationSpec | None = None
    """Simulated conversations, which are made and packed before. In YAML: the name of a file of data_specs/simulations.

    Their parts are train, dev and test. Beside `corpora`, or in place of them.
    Change: give it to score diarization of talk whose turns are known by construction.
    """

    noise: tuple[CorpusSpec, ...] = ()
    """Noise for tasks that mix it in. In YAML: names of files of data_specs/corpora with the role noise.

    Change: needed by speech enhancement on data that are not mixed already.
    """

    shards: ShardSpec = ShardSpec(min_seconds=0.1, max_seconds=3600.0, max_rejected=0.0)
    """How the recordings are packed. The default takes each as it is: nothing is cut, joined or left out.

    Change: only where recordings are hours long, or some are known to be broken.
    """

    split: SplitSpec
    """What heads are fitted on, what they are chosen by, and what is scored."""

    head: HeadSpec
    """What is trained on top of the frozen model."""

    fit: FitSpec | None = None
    """How the head is fitted. Not given: nothing is trained, which only the head `none` allows.

    Change: never; the head decides whether it is needed.
    """

    single_layers: bool = False
    """True: each layer is scored alone on the dev part too, with the learning rate that was best.

    Change: true for the third panel of the layer heat map; it costs a fit per layer.
    """

    max_utterances: Count | None = None
    """At most so many recordings of each part, chosen by their keys.

    Unit: utterances.
    Change: to save time. A part that was cut is said in the results.
    """

    protocol: str = ""
    """Name of the published protocol that this follows, such as `superb/ks`. Empty: none.

    Only results of one protocol on the same data stand in one table with published ones: task, split, head, fit and
    corpora are compared with the shipped evaluation of the protocol. Learning rates and seeds are free.
    Change: give it only where head, data, split and search are the published ones.
    """

    deviation: str = ""
    """In what the protocol is not followed to the letter, for people. Then published figures stand apart, and say this.

    Change: give it wherever a number may differ because of it.
    """

    reality: Literal["real", "simulated", "synthetic"] = "real"
    """What the speech is: recorded; recorded, but mixed or changed by us; or made by a synthesiser.

    Synthetic speech stands in no table of claims, unless a published protocol has it made, as SUPERB's slot filling.
    Change: simulated where we mix, synthetic where nobody spoke.
    """

    @model_validator(mode="after")
    def _check_data(self) -> EvaluationSpec:
        if not self.corpora and self.simulation is None:
            raise FieldError("there are no data: name one corpus or more, or a simulation", "corpora")
        return self

    @model_validator(mode="after")
    def _check_fit(self) -> EvaluationSpec:
        if (self.fit is None) != (self.head.type == "none"):
            raise FieldError(
                "the head `none` is not trained, so it has no fit"
                if self.fit
                else f"the head {self.head.type} is trained: say how, as in fit: {{learning_rates: [1e-3], ...}}",
                "fit",
            )
        if self.head.type not in self.task.heads:
            raise FieldError(
                f"the task {self.task.type} has no head {self.head.type}, expected {' or '.join(self.task.heads)}",
                *("head", "type"),
            )
        if isinstance(self.split, ByPart) and self.fit and not self.split.train:
            raise FieldError("a head is fitted on something: name parts", "split", "train")
        if isinstance(self.split, Folds) and self.task.type == "asv":
            raise FieldError(
                "embeddings of the heads of several folds do not compare, expected another split than folds",
                *("split", "type"),
            )
        return self

    @model_validator(mode="after")
    def _check_noise(self) -> EvaluationSpec:
        mixes_noise = isinstance(self.task, SpeechEnhancement) and self.task.mix is not None
        if mixes_noise and not self.noise:
            raise FieldError("the task mixes noise in, so it needs some: name corpora of the role noise", "noise")
        if self.noise and not mixes_noise:
            raise FieldError("no noise is mixed in: leave it out, or give the task se a mix, as in mix: {}", "noise")
        return self


class SuiteSpec(Spec):
    """A list of evaluations that are run together: a file of data_specs/suites."""

    name: Name
    """Name of the suite, and of its file without `.yaml`."""

    description: str
    """What the suite is for, and what its figures can be compared with."""

    evaluations: tuple[EvaluationSpec, ...] = Field(min_length=1)
    """The evaluations, in the order of the table. In YAML: names of files of data_specs/evaluations."""

    baselines: tuple[BaselineSpec, ...] = ()
    """What every table has beside the model. In YAML: `fbank`, `mfcc`, `random`, or written out.

    Change: never leave out a random network where a claim is made: the claim is the difference.
    """

    references: dict[Name, ModelSpec] = Field(default_factory=dict)
    """Released models that `wavlm evaluate` evaluates beside the one that is asked for, as rows of the same table.

    In YAML: a list of names of files of data_specs/models. One whose files are not on this machine is named and left
    out. A recipe that trains names such models in `evaluate_models`.
    Change: to the models that people compare with.
    """

    @model_validator(mode="after")
    def _check_names(self) -> SuiteSpec:
        names = [item.name for item in self.evaluations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise FieldError(f"the evaluation {', '.join(twice)} is named twice", "evaluations")
        return self
