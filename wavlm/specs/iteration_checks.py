"""Checks of the iterations of a recipe: that it has what they use, that layers exist, that none is another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from wavlm.specs.base import FieldError
from wavlm.specs.corpora import CorpusSpec
from wavlm.specs.identity import canonical, key_of
from wavlm.specs.iteration import IterationSpec
from wavlm.specs.labelling import ScoresSpec
from wavlm.specs.lookup import suggest
from wavlm.specs.models import ModelSpec
from wavlm.specs.network import NetworkSpec
from wavlm.specs.sampling import check_corpora


class Checked(Protocol):
    """What is asked of a recipe here."""

    @property
    def speech(self) -> tuple[CorpusSpec, ...]: ...

    @property
    def noise(self) -> tuple[CorpusSpec, ...]: ...

    @property
    def rooms(self) -> tuple[CorpusSpec, ...]: ...

    @property
    def models(self) -> Mapping[str, ModelSpec]: ...

    @property
    def iterations(self) -> tuple[IterationSpec, ...]: ...

    @property
    def probe(self) -> ScoresSpec | None: ...


def check_iterations(recipe: Checked) -> None:
    """Check each iteration by itself."""
    for place, iteration in enumerate(recipe.iterations):
        _check_iteration(recipe, place, iteration)


def check_different(recipe: Checked) -> None:
    """Check that no iteration would train the very model of another one.

    Hidden layers of the model of the iteration before are those of other teachers.
    """
    seen: dict[str, int] = {}
    for number, iteration in enumerate(recipe.iterations, 1):
        hidden, start, codebook = iteration.hidden, iteration.start, iteration.codebook
        if hidden and hidden.model is None:
            continue
        named = (iteration.teacher, start and start.model)
        names = (corpus.name for corpus in recipe.speech)
        speech = tuple(name for name in names if not iteration.speech or name in iteration.speech)
        same = iteration.model_copy(update={"speech": ()})
        first = seen.setdefault(
            key_of(canonical((same, speech, (codebook and codebook.speech) or speech, *named))), number
        )
        if first != number:
            raise FieldError(
                f"iterations {first} and {number} are the same model: same labels, network, mix and training: "
                "leave one out, or give it another train.seed",
                "iterations",
                number - 1,
            )


def check_layers(recipe: Checked) -> None:
    """Check layer numbers before anything is trained: a layer must exist in the model that it is taken from."""
    before: NetworkSpec | None = None
    for number, iteration in enumerate(recipe.iterations, 1):
        hidden, teacher, whose = iteration.hidden, before, f"the model of iteration {number - 1}"
        if hidden and hidden.model is not None:
            teacher, whose = recipe.models[hidden.model].network, f"the model {hidden.model}"
        if hidden and teacher and hidden.layer > teacher.num_layers:
            raise FieldError(
                f"iteration {number} clusters layer {hidden.layer}, but {whose} has {teacher.num_layers} layers",
                *("iterations", number - 1, "codebook", "features", "layer"),
            )
        before = iteration.network
    fewest = min((iteration.network.num_layers for iteration in recipe.iterations), default=0)
    deepest = max(recipe.probe.layers if recipe.probe else (), default=0)
    if recipe.iterations and deepest > fewest:
        raise FieldError(f"probe.layers names layer {deepest}, but a model has {fewest} layers", "probe", "layers")


def _check_iteration(recipe: Checked, place: int, iteration: IterationSpec) -> None:
    """Check that the recipe has what an iteration uses."""
    speech = [corpus.name for corpus in recipe.speech]
    at = ("iterations", place)
    codebook = iteration.codebook
    named = codebook.speech if codebook else ()
    for names, field in ((iteration.speech, ("speech",)), (named, ("codebook", "speech"))):
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
    _check_models(recipe, iteration, *at, is_first=place == 0)
    if iteration.mix and iteration.mix.noise_probability > 0 and not recipe.noise:
        raise FieldError(f"iteration {place + 1} mixes in noise, but the recipe lists none", *at, "mix")
    wants_rooms = iteration.mix and any(it.name == "room" for it in iteration.mix.effects)
    if wants_rooms and not recipe.rooms:
        raise FieldError(f"iteration {place + 1} has the effect room, but there are no rooms", *at, "mix")
    used = iteration.speech or speech
    check_corpora(iteration.train.sampling, used, *at, "train")
    if codebook:
        check_corpora(codebook.sampling, codebook.speech or used, *at, "codebook")


def _check_models(recipe: Checked, iteration: IterationSpec, *at: str | int, is_first: bool) -> None:
    """Check that the models that an iteration names are among the recipe's."""
    hidden, start, teacher = iteration.hidden, iteration.start, iteration.teacher
    if is_first and hidden and teacher is None:
        raise FieldError(
            "iteration 1 has no previous model whose layer could be clustered: name one of the recipe's models, "
            "as in features: {type: hidden, model: base, layer: 9}",
            *(*at, "codebook", "features"),
        )
    for name, field in ((teacher, ("codebook", "features", "model")), (start and start.model, ("start", "model"))):
        if name is not None and name not in recipe.models:
            hint = suggest(name, recipe.models)
            known = ", ".join(recipe.models) or "none"
            raise FieldError(
                f"{name} is not among the recipe's models, which are: {known}{f': {hint}' if hint else ''}",
                *(*at, *field),
            )
