"""Recipe specs: corpora, shards and iterations of a whole model."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from wavlm.specs.base import FieldError, Name, Spec
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.gate import GateSpec
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.labelling import CodebookSpec, ScoresSpec, ShardSpec
from wavlm.specs.lookup import suggest
from wavlm.specs.mixing import MixSpec, MixturesSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.training import StartSpec, TrainSpec


class IterationSpec(Spec):
    """One iteration: cluster features to get labels, then train a model to predict them."""

    codebook: CodebookSpec
    """Where the labels come from.

    Source: docs/algorithm.md 11.
    """

    network: NetworkSpec
    """The network that is trained.

    Change: with the amount of speech and computation.
    """

    train: TrainSpec
    """How it is trained.

    Change: with the amount of speech, the GPUs and the time.
    """

    mix: MixSpec | None = None
    """In YAML: the name of a file of data_specs/mixes. Not given: nothing is mixed, as in HuBERT.

    Source: docs/algorithm.md 12.
    Change: give it to train WavLM: `wavlm-base` without noise, `wavlm-large` with noise.
    """

    start: StartSpec | None = None
    """Weights to start from. Not given: random weights.

    Change: to continue from an imported model.
    """

    speech: tuple[Name, ...] = ()
    """Names of the recipe's speech corpora that this iteration uses. Empty: all of them.

    Change: when the first iterations use less speech, as in wavlm-large.
    """


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

    speech: tuple[CorpusSpec, ...] = Field(min_length=1)
    """The speech corpora. In YAML: names of files of data_specs/corpora with the role speech."""

    noise: tuple[CorpusSpec, ...] = ()
    """The noise corpora. In YAML: names of files of data_specs/corpora with the role noise.

    Change: needed by mixes with a `noise_probability` above 0.
    """

    rooms: tuple[CorpusSpec, ...] = ()
    """Corpora of room impulse responses. In YAML: names of files of data_specs/corpora with the role room.

    Change: needed by mixes with the effect `room`.
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

    iterations: tuple[IterationSpec, ...] = Field(min_length=1)
    """The iterations, in order. From the second on, labels can come from the model before.

    Source: docs/algorithm.md 11: two for HuBERT Base and WavLM Base, three for Base+ and Large.
    """

    probe: ScoresSpec | None = None
    """How layers are scored after every iteration. Not given: they are not.

    Change: give it when a corpus has timed phones. It shows which layer to cluster next.
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
        self._check_corpora()
        for place, iteration in enumerate(self.iterations):
            self._check_iteration(place, iteration)
        self._check_layers()
        self._check_different()
        self._check_valid_split()
        return self

    def _check_corpora(self) -> None:
        """Check that no corpus is named twice."""
        places = [(role, place) for role in ("speech", "noise", "rooms") for place in range(len(getattr(self, role)))]
        seen: set[str] = set()
        for role, place in places:
            name = getattr(self, role)[place].name
            if name in seen:
                raise FieldError(f"the corpus {name} is named twice", role, place)
            seen.add(name)

    def _check_iteration(self, place: int, iteration: IterationSpec) -> None:
        """Check that the recipe has what an iteration uses."""
        speech = [corpus.name for corpus in self.speech]
        at = ("iterations", place)
        for names, field in ((iteration.speech, ("speech",)), (iteration.codebook.speech, ("codebook", "speech"))):
            for number, name in enumerate(names):
                if name not in speech:
                    hint = suggest(name, speech)
                    known = f"{', '.join(speech)}{f': {hint}' if hint else ''}"
                    raise FieldError(
                        f"{name} is not among the recipe's speech corpora {known}",
                        *at,
                        *field,
                        number,
                    )
        if place == 0 and iteration.codebook.features.type == "hidden":
            raise FieldError(
                "iteration 1 has no previous model whose layer could be clustered", *at, "codebook", "features"
            )
        if iteration.mix and iteration.mix.noise_probability > 0 and not self.noise:
            raise FieldError(f"iteration {place + 1} mixes in noise, but the recipe lists none", *at, "mix")
        wants_rooms = iteration.mix and any(it.name == "room" for it in iteration.mix.effects)
        if wants_rooms and not self.rooms:
            raise FieldError(f"iteration {place + 1} has the effect room, but there are no rooms", *at, "mix")

    def _check_different(self) -> None:
        """Check that no iteration would train the very model of another one. Hidden layers have other teachers."""
        seen: dict[str, int] = {}
        for number, iteration in enumerate(self.iterations, 1):
            if iteration.codebook.features.type == "hidden":
                continue
            names = (corpus.name for corpus in self.speech)
            speech = tuple(name for name in names if not iteration.speech or name in iteration.speech)
            same = iteration.model_copy(update={"speech": ()})
            first = seen.setdefault(key_of(canonical((same, speech, iteration.codebook.speech or speech))), number)
            if first != number:
                raise FieldError(
                    f"iterations {first} and {number} are the same model: same labels, network, mix and training: "
                    "leave one out, or give it another train.seed",
                    "iterations",
                    number - 1,
                )

    def _check_layers(self) -> None:
        """Check layer numbers before anything is trained: a layer must exist in the model that it is taken from."""
        for number, (teacher, iteration) in enumerate(pairwise(self.iterations), 2):
            features, num_layers = iteration.codebook.features, teacher.network.num_layers
            if features.type == "hidden" and features.layer > num_layers:
                raise FieldError(
                    f"iteration {number} clusters layer {features.layer}, but the model of iteration {number - 1} "
                    f"has {num_layers} layers",
                    *("iterations", number - 1, "codebook", "features", "layer"),
                )
        fewest = min(iteration.network.num_layers for iteration in self.iterations)
        deepest = max(self.probe.layers if self.probe else (), default=0)
        if deepest > fewest:
            raise FieldError(f"probe.layers names layer {deepest}, but a model has {fewest} layers", "probe", "layers")

    def _check_valid_split(self) -> None:
        """Check that something is held out where something is measured on it."""
        advice = "give one of them a valid_fraction above 0 or valid_speakers"
        if self.gate.metric == "probe/pnmi" and self.probe is None:
            raise FieldError(
                "gate.metric is probe/pnmi, which the recipe's `probe` measures, but there is no probe",
                *("gate", "metric"),
            )
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
