"""Recipe specs: corpora, shards and iterations of a whole model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from wavlm.specs.base import FieldError, Name, Spec
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.evaluation import SuiteSpec
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.gate import GateSpec, explain_ungated, explain_unmeasured
from wavlm.specs.going_on import check_going_on
from wavlm.specs.iteration import IterationSpec
from wavlm.specs.iteration_checks import check_different, check_iterations, check_layers
from wavlm.specs.labelling import ScoresSpec, ShardSpec
from wavlm.specs.lookup import suggest
from wavlm.specs.mixing import MixturesSpec
from wavlm.specs.models import ModelSpec


class KeepSpec(Spec):
    """What `wavlm gc` leaves in the store although all that is made from it is complete. It is part of no key."""

    archives: bool = True
    """False: downloaded archives go once their corpus is complete. To make the corpus again they are fetched again.

    Change: false where disk is dear and the publisher will still be there.
    """

    audio: bool = True
    """False: the unpacked audio of a corpus goes once its shards are complete.

    What needs it again, such as other shards, makes the corpus again: from its archives if they are there, else they
    are fetched again. Local folders are never touched.
    Change: false for large corpora, when the shards are final.
    """


class Recipe(Spec):
    """A whole model, from corpora to registry: a file of data_specs/recipes.

    In the file corpora and mixes are names of files; `wavlm.specs.yaml.read_recipe` replaces each name by the
    content of its file.
    """

    name: Name
    """Name of the recipe."""

    description: str
    """What the model is, for people and for the model card."""

    registry_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """Name of the model in the MLflow registry. Every iteration becomes a version of it.

    Change: give another name to models that you do not want to compare with the present champion.
    """

    speech: tuple[CorpusSpec, ...] = ()
    """The speech corpora. In YAML: names of files of data_specs/corpora with the role speech.

    A recipe needs one or more, unless it has no iterations and only evaluates.
    Change: leave it out only where nothing is trained.
    """

    noise: tuple[CorpusSpec, ...] = ()
    """The noise corpora. In YAML: names of files of data_specs/corpora with the role noise.

    Change: needed by mixes with a `noise_probability` above 0.
    """

    rooms: tuple[CorpusSpec, ...] = ()
    """Corpora of room impulse responses. In YAML: names of files of data_specs/corpora with the role room.

    Change: needed by mixes with the effect `room`.
    """

    models: dict[Name, ModelSpec] = Field(default_factory=dict)
    """Models from elsewhere, by names that iterations use: as `model` of hidden features, or of `start`.

    In YAML: the name of a file of data_specs/models, or written out; `registry: NAME@ALIAS` in place of `source`.
    Change: to make labels with a released model, or to continue one.
    """

    shards: ShardSpec
    """How the speech corpora are cut into shards.

    Change: this makes new shards, new labels and new models.
    """

    noise_shards: ShardSpec | None = None
    """How noise and room corpora are cut into shards. Not given: as `shards`.

    Change: give it a smaller `min_seconds`, because noise clips are often short.
    """

    mixtures: MixturesSpec | None = None
    """The fixed mixtures for validation. Not given, or no iteration mixes: none are made.

    Change: give it when an iteration has a mix. Such an iteration is then validated on its own mix too.
    """

    iterations: tuple[IterationSpec, ...] = ()
    """The iterations, in order. From the second on, labels can come from the model before.

    A recipe needs one or more, unless it only evaluates models from elsewhere.
    Source: docs/algorithm.md 11: two for HuBERT Base and WavLM Base, three for Base+ and Large.
    Change: leave them out to evaluate models alone.
    """

    probe: ScoresSpec | None = ScoresSpec(num_clusters=100)
    """How layers are scored after every iteration: fast metrics, which show which layer to cluster next. `null`: they
    are not scored.

    Change: fewer utterances, or `null`, to save time.
    """

    evaluate: SuiteSpec | None = None
    """The suite of tasks that every iteration's model is evaluated on. Not given: none.

    In YAML: the name of a file of data_specs/suites. Its results go into the registry, the card and the report.
    Change: give it where labelled corpora are at hand; fast metrics are computed in any case.
    """

    evaluate_models: tuple[Name, ...] = ()
    """Models from elsewhere that are evaluated on the same suite, as rows of the same tables.

    A recipe without iterations evaluates all its models.
    Change: name the models that you compare with.
    """

    finetune: tuple[FinetuneSpec, ...] = ()
    """Systems that are trained on top of a model: of the last iteration, or of one of the recipe's models.

    In YAML: names of files of data_specs/finetunes. `wavlm finetune` trains one without a recipe.
    Change: name one to have it trained anew with each model.
    """

    keep: KeepSpec = KeepSpec()
    """What `wavlm gc` may not delete. Other than archives and audio it never touches what this recipe wants.

    Change: to free the disk of archives and audio once there are shards.
    """

    gate: GateSpec = GateSpec()
    """When a new version becomes champion. Other than by the gate it is moved by `wavlm models promote` alone.

    Change: name a metric to compare by this one only.
    """

    @model_validator(mode="after")
    def _check_consistent(self) -> Recipe:
        self._check_purpose()
        self._check_systems()
        self._check_corpora()
        self._check_rates()
        check_iterations(self)
        self._check_first()
        check_layers(self)
        check_different(self)
        self._check_gate()
        self._check_valid_split()
        return self

    def _check_purpose(self) -> None:
        """Check that the recipe trains something, or evaluates something."""
        if self.iterations and not self.speech:
            raise FieldError("there are iterations, but no speech: name one corpus or more", "speech")
        is_evaluating = self.evaluate and (self.models or self.evaluate.baselines)
        if not self.iterations and not is_evaluating and not self.finetune:
            raise FieldError(
                "found no iteration, expected one or more; or models and `evaluate`, to evaluate alone", "iterations"
            )
        for number, name in enumerate(self.evaluate_models):
            if name not in self.models:
                hint = suggest(name, self.models)
                known = ", ".join(self.models) or "none"
                raise FieldError(
                    f"{name} is not among the recipe's models, which are: {known}{f': {hint}' if hint else ''}",
                    *("evaluate_models", number),
                )
            if name in self.evaluate_models[:number]:
                raise FieldError(f"the model {name} is named twice", "evaluate_models", number)
        if self.evaluate_models and not self.evaluate:
            raise FieldError("there are models to evaluate, but no suite: name one in `evaluate`", "evaluate_models")

    def _check_systems(self) -> None:
        """Check that the systems that are fine-tuned stand on something, and have names of their own."""
        names = [item.name for item in self.finetune]
        for number, item in enumerate(self.finetune):
            if names.index(item.name) != number:
                raise FieldError(f"the system {item.name} is named twice", "finetune", number)
            if item.system:
                check_going_on(item, number, self.finetune[:number], self.models)
                continue
            if item.baseline is None and not item.model and not self.iterations:
                raise FieldError(
                    f"the system {item.name} names no model, and there is no iteration", "finetune", number, "model"
                )
            if item.baseline is None and item.model and item.model not in self.models:
                hint = suggest(item.model, self.models)
                known = ", ".join(self.models) or "none"
                raise FieldError(
                    f"{item.model} is not among the recipe's models, which are: {known}{f': {hint}' if hint else ''}",
                    *("finetune", number, "model"),
                )

    def _check_corpora(self) -> None:
        """Check that no corpus is named twice."""
        places = [(role, place) for role in ("speech", "noise", "rooms") for place in range(len(getattr(self, role)))]
        seen: set[str] = set()
        for role, place in places:
            name = getattr(self, role)[place].name
            if name in seen:
                raise FieldError(f"the corpus {name} is named twice", role, place)
            seen.add(name)

    def _check_rates(self) -> None:
        """Check that what is mixed has one sample rate."""
        rates = self.shards.sample_rate_hz, (self.noise_shards or self.shards).sample_rate_hz
        if len(set(rates)) > 1:
            raise FieldError(
                f"noise and rooms have {rates[1]} Hz, speech has {rates[0]} Hz: give both one rate",
                *("noise_shards", "sample_rate_hz"),
            )

    def _check_first(self) -> None:
        """Check that what stands in for a version that is not there yet is a model of its own, of the recipe."""
        for name, spec in self.models.items():
            stand_in = self.models.get(spec.first or "")
            if spec.first is None:
                continue
            if spec.source.type != "registry" or spec.source.alias is None:
                raise FieldError(
                    "first belongs to a version by an alias, which may not be there yet", "models", name, "first"
                )
            if stand_in is None or stand_in.source.type == "registry":
                known = ", ".join(key for key, item in self.models.items() if item.source.type != "registry") or "none"
                raise FieldError(
                    f"{spec.first} cannot stand in; the recipe's folders and archives are: {known}",
                    "models",
                    name,
                    "first",
                )

    def _check_gate(self) -> None:
        """Check that the recipe measures what its gate compares, and that it says which model is better."""
        if self.gate.metric.startswith("probe/") and self.probe is None:
            raise FieldError(
                f"gate.metric is {self.gate.metric}, which the recipe's `probe` measures, but there is no probe",
                *("gate", "metric"),
            )
        if unmeasured := explain_unmeasured(self.gate.metric, self.evaluate):
            raise FieldError(unmeasured, "gate", "metric")
        for number, iteration in enumerate(self.iterations, 1):
            if ungated := explain_ungated(self.gate.metric, iteration.train.objective):
                raise FieldError(f"gate.metric, for iteration {number}: {ungated}", "gate", "metric")

    def _check_valid_split(self) -> None:
        """Check that something is held out where something is measured on it."""
        advice = "give one of them a valid_fraction above 0 or valid_speakers"
        mixes = self.mixtures is not None and any(iteration.mix for iteration in self.iterations)
        if mixes and not any(corpus.holds_out for corpus in self.speech):
            raise FieldError(
                f"mixtures are made of held-out speech, but no speech corpus holds any out: {advice}", "mixtures"
            )
        if not self.gate.metric.startswith("valid/"):
            return
        for number, iteration in enumerate(self.iterations, 1):
            chosen = [item for item in self.speech if not iteration.speech or item.name in iteration.speech]
            if not any(corpus.holds_out for corpus in chosen):
                raise FieldError(
                    f"the gate compares {self.gate.metric}, but no speech corpus of iteration {number} holds speech "
                    f"out ({', '.join(corpus.name for corpus in chosen)}): {advice}",
                    *("gate", "metric"),
                )
