"""The plan of a recipe: all its artifacts, in the order in which they are built. Planning runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wavlm.errors import UsageError
from wavlm.pipeline.artifacts import (
    Artifact,
    Codebook,
    Corpus,
    Evaluation,
    Export,
    Finetune,
    ImportedModel,
    Labels,
    Mixtures,
    Model,
    Registration,
    Scores,
    Shards,
    Simulation,
    SystemRegistration,
    Teacher,
    build_order,
)
from wavlm.specs import (
    BaselineSpec,
    CorpusSpec,
    IterationSpec,
    LabelSource,
    MixSpec,
    NetworkSpec,
    Recipe,
    SampledSpec,
    ShardSpec,
    SimulationSpec,
    StartSpec,
)
from wavlm.specs.frames import other_grid


@dataclass(frozen=True)
class _Sources:
    """Shards by role, shared by all iterations."""

    speech: tuple[Shards, ...]
    noise: tuple[Shards, ...]
    rooms: tuple[Shards, ...]

    def of_mix(self, mix: MixSpec | None) -> tuple[tuple[Shards, ...], tuple[Shards, ...]]:
        """The noise and the rooms that a mix uses."""
        if mix is None:
            return (), ()
        has_room = any(effect.name == "room" for effect in mix.effects)
        return self.noise if mix.noise_probability > 0 else (), self.rooms if has_room else ()


def plan(recipe: Recipe) -> tuple[Artifact, ...]:
    """All artifacts of a recipe, inputs before what is made from them. Runs nothing.

    Models from elsewhere come first: what is wrong with them is known before any audio is read.
    """
    sources = _collect_sources(recipe)
    wanted: list[Artifact] = [*used_models(recipe), *sources.speech, *sources.noise, *sources.rooms]
    before: Model | None = None
    for number in range(1, len(recipe.iterations) + 1):
        before = _model(recipe, number, sources, before)
        wanted.append(before)
        scores = scores_of(before, recipe)
        wanted += [*([scores] if scores else []), *evaluations_of(before, recipe)]
        wanted += [Export(before), Registration(recipe.registry_name, before)]
    beside = evaluated_models(recipe)
    wanted += [item for model in beside for item in evaluations_of(model, recipe)]
    if before is None and not beside:
        wanted += evaluations_of(None, recipe)
    for system in systems_of(recipe, before):
        wanted += [system, SystemRegistration(system.spec.registry_name, system)]
    return tuple(build_order(wanted))


def models(artifacts: Sequence[Artifact]) -> tuple[Model, ...]:
    """The models of a plan, first iteration first."""
    return tuple(artifact for artifact in artifacts if isinstance(artifact, Model))


def scores_of(model: Model, recipe: Recipe) -> Scores | None:
    """The scores that a recipe asks of a model, on the speech that it was trained on; None if it asks for none."""
    return Scores(recipe.probe, model, model.shards) if recipe.probe else None


def evaluations_of(model: Teacher | None, recipe: Recipe) -> tuple[Evaluation, ...]:
    """The evaluations of a model and of the baselines beside it, in the order of the suite; none without a suite.

    Raises UsageError (NETWORK_UNKNOWN) if a random network has to be that of a model that does not say its own.
    """
    if recipe.evaluate is None:
        return ()
    network = model.network if isinstance(model, Model) else model.spec.network if model else None
    baselines = (_fill_network(item, network) for item in recipe.evaluate.baselines)
    subjects = (*((model,) if model else ()), *baselines)
    return tuple(
        Evaluation(
            spec,
            subject,
            _shards(spec.corpora, spec.shards),
            _shards(spec.noise, spec.shards),
            simulation_of(spec.simulation),
        )
        for spec in recipe.evaluate.evaluations
        for subject in subjects
    )


def systems_of(recipe: Recipe, last: Model | None) -> Iterator[Finetune]:
    """The systems that a recipe fine-tunes. last: the model of its last iteration."""
    made: dict[str, Finetune] = {}
    for spec in recipe.finetune:
        subject: Teacher | Finetune | BaselineSpec | None = made.get(spec.system, last)
        if spec.baseline is not None:
            subject = _fill_network(spec.baseline, None)
        elif spec.system not in made and (name := spec.system or spec.model):
            subject = ImportedModel(recipe.models[name], name)
        assert subject is not None  # noqa: S101 - the recipe was checked
        shards, noise, rooms = (_shards(it, spec.shards) for it in (spec.corpora, spec.noise, spec.rooms))
        made[spec.name] = Finetune(spec, subject, shards, noise, rooms, simulation_of(spec.simulation))
    yield from made.values()


def simulation_of(spec: SimulationSpec | None) -> Simulation | None:
    """The conversations of a spec, with the shards that they are made of; None without one."""
    if spec is None:
        return None
    return Simulation(spec, *(_shards(corpora, spec.shards) for corpora in (spec.corpora, spec.noise, spec.rooms)))


def evaluated_models(recipe: Recipe) -> list[ImportedModel]:
    """The models from elsewhere that are evaluated: those that are named, or all if nothing is trained."""
    names = recipe.evaluate_models if recipe.iterations else tuple(recipe.models)
    return [ImportedModel(recipe.models[name], name) for name in names]


def _fill_network(baseline: BaselineSpec, network: NetworkSpec | None) -> BaselineSpec:
    """A baseline; a random network that names none has that of the model beside it."""
    if baseline.type != "random" or baseline.network is not None:
        return baseline
    if network is None:
        raise UsageError(
            "NETWORK_UNKNOWN",
            "a random network needs that of the model beside it, which is not known before it is read; in the recipe's "
            "models or the suite's baselines; give one of them `network`",
        )
    return baseline.model_copy(update={"network": network})


def _collect_sources(recipe: Recipe) -> _Sources:
    others = recipe.noise_shards or recipe.shards
    return _Sources(_shards(recipe.speech, recipe.shards), _shards(recipe.noise, others), _shards(recipe.rooms, others))


def used_models(recipe: Recipe) -> list[ImportedModel]:
    """The models from elsewhere that iterations name."""
    used = {item.teacher for item in recipe.iterations} | {it.start.model for it in recipe.iterations if it.start}
    used |= {item.called for item in evaluated_models(recipe)}
    used |= {item.system or item.model for item in recipe.finetune if item.baseline is None}
    return [ImportedModel(spec, name) for name, spec in recipe.models.items() if name in used]


def _teacher(recipe: Recipe, iteration: IterationSpec, before: Model | None) -> Teacher | None:
    if iteration.hidden is None:
        return None
    name = iteration.teacher
    return before if name is None else ImportedModel(recipe.models[name], name)


def _start(recipe: Recipe, start: StartSpec | None) -> StartSpec | ImportedModel | None:
    if start is None or start.model is None:
        return start
    return ImportedModel(recipe.models[start.model], start.model)


def _model(recipe: Recipe, number: int, sources: _Sources, before: Model | None) -> Model:
    iteration = recipe.iterations[number - 1]
    shards = _select_speech(iteration.speech, sources.speech)
    data: tuple[Labels, ...] | tuple[Shards, ...] = shards
    if spec := iteration.codebook:
        fitted_on = _order_speech(spec.speech, sources.speech) or shards
        is_fitted = isinstance(spec, SampledSpec)
        fitted_on = tuple(_find_fitted(item, spec) for item in fitted_on) if is_fitted else ()
        codebook = Codebook(spec, fitted_on, _teacher(recipe, iteration, before), other_grid(iteration.network))
        data = tuple(Labels(codebook, item) for item in shards)
    noise, rooms = sources.of_mix(iteration.mix)
    return Model(
        network=iteration.network,
        train=iteration.train,
        data=data,
        mix=iteration.mix,
        noise=noise,
        rooms=rooms,
        start=_start(recipe, iteration.start),
        mixtures=_mixtures(recipe, iteration, shards, sources),
        iteration=number,
    )


def _find_fitted(shards: Shards, spec: LabelSource) -> Shards:
    """The shards of the generation that a codebook is fitted on. It follows from the list of generations alone."""
    source = shards.corpus.spec.folder
    if source is None:
        return shards
    generation = 1 if spec.refit == "never" else spec.refit.choose(source.generation_bytes)
    return Shards(shards.spec, Corpus(shards.corpus.spec.until(generation)))


def _mixtures(
    recipe: Recipe, iteration: IterationSpec, shards: tuple[Shards, ...], sources: _Sources
) -> Mixtures | None:
    """The fixed mixed set of an iteration: its own speech and mix. An iteration that mixes nothing has none.

    Mixtures are no longer than the crops of training: then a crop of validation is a whole mixture.
    """
    if recipe.mixtures is None or iteration.mix is None:
        return None
    longest_s = min(recipe.mixtures.max_seconds, iteration.train.max_crop_seconds, iteration.train.group_seconds)
    spec = recipe.mixtures.model_copy(update={"max_seconds": longest_s})
    noise, rooms = sources.of_mix(iteration.mix)
    return Mixtures(spec, iteration.mix, shards, noise, rooms, other_grid(iteration.network))


def _shards(corpora: Sequence[CorpusSpec], spec: ShardSpec) -> tuple[Shards, ...]:
    return tuple(Shards(spec, Corpus(corpus)) for corpus in corpora)


def _select_speech(names: Sequence[str], shards: tuple[Shards, ...]) -> tuple[Shards, ...]:
    """The shards of the corpora with these names; all of them if no name is given."""
    return tuple(item for item in shards if not names or item.corpus.name in names)


def _order_speech(names: Sequence[str], shards: tuple[Shards, ...]) -> tuple[Shards, ...]:
    """The shards of the corpora with these names, in this order, which is that of the shares of a codebook."""
    return tuple(item for name in names for item in shards if item.corpus.name == name)
