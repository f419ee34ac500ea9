"""The plan of a recipe: all its artifacts, in the order in which they are built. Planning runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wavlm.errors import UsageError
from wavlm.pipeline.artifacts import (
    KINDS,
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
    keep_latest,
)
from wavlm.pipeline.stages import EVALUATE, StageName, kinds_of
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
from wavlm.specs.lookup import suggest


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


def corpora(artifact: Artifact) -> tuple[str, ...]:
    """Names of the corpora that an artifact is about: its own, or those of its shards."""
    if isinstance(artifact, Corpus):
        return (artifact.name,)
    if isinstance(artifact, Shards):
        return (artifact.corpus.name,)
    if isinstance(artifact, Labels):
        return (artifact.shards.corpus.name,)
    return ()


def select(
    artifacts: Sequence[Artifact],
    kind: str,
    iteration: int | None = None,
    corpus: str | None = None,
) -> tuple[Artifact, ...]:
    """The artifacts of one stage, narrowed by iteration and corpus.

    Of a corpus that has grown, only the last generation. An iteration has its model, what is made from it, and the
    codebook, labels, mixtures and models from elsewhere that it uses. Two iterations may share a codebook and labels:
    then both have them.
    Raises UsageError (NOTHING_FITS) that lists what there is if nothing fits.
    """
    kinds = kinds_of(kind)
    of_kind = [item for item in keep_latest(artifacts) if item.kind in kinds]
    found = tuple(
        item
        for item in of_kind
        if (iteration is None or iteration in _places(item, artifacts)) and (corpus is None or corpus in corpora(item))
    )
    if not found:
        raise _explain_nothing(of_kind, kind, iteration, corpus)
    return found


def _explain_nothing(of_kind: Sequence[Artifact], kind: str, iteration: int | None, corpus: str | None) -> UsageError:
    names = sorted({name for item in of_kind for name in corpora(item)})
    wanted = f"no {kind}"
    wanted += f" of iteration {iteration}" if iteration is not None else ""
    wanted += f" of the corpus {corpus}" if corpus is not None else ""
    there_is = ", ".join(str(item) for item in of_kind) or "none of this kind"
    advice = suggest(corpus, names) if corpus is not None and corpus not in names else ""
    return UsageError(
        "NOTHING_FITS", f"{wanted}, there is: {there_is}; in this recipe; {advice or 'choose one of these'}"
    )


def select_needed(artifacts: Sequence[Artifact], until: StageName | None) -> tuple[Artifact, ...]:
    """What has to exist for all artifacts of kind `until`; everything if that is None.

    Of a kind that comes before the first training only those that need no training: of labels, not those of a teacher.
    Registrations need the scores that the recipe asks for, too: the gate judges by them. Models from elsewhere come
    first, as in a plan.
    """
    if until is None:
        return tuple(artifacts)
    kinds = (*kinds_of(EVALUATE), until) if until == Registration.kind else kinds_of(until)
    chosen = [item for item in artifacts if item.kind in kinds]
    if until in KINDS[: KINDS.index("pretrain")]:
        chosen = [item for item in chosen if not any(isinstance(part, Model) for part in build_order([item]))]
    needed = list(build_order(chosen))
    return tuple(build_order([*(item for item in needed if isinstance(item, ImportedModel)), *needed]))


def first_iteration(artifact: Artifact, artifacts: Sequence[Artifact]) -> int | None:
    """The first iteration of a plan that an artifact belongs to; None for corpora, shards and models from elsewhere."""
    return min(_places(artifact, artifacts), default=None)


def _places(artifact: Artifact, artifacts: Sequence[Artifact]) -> set[int]:
    """The iterations of a plan that an artifact belongs to; none for corpora and shards, which all of them share."""
    if isinstance(artifact, Scores | Export | Registration):
        return {artifact.model.iteration}
    if isinstance(artifact, Evaluation | Finetune):
        subject = artifact.stands_on if isinstance(artifact, Finetune) else artifact.subject
        return {subject.iteration} if isinstance(subject, Model) else set()
    found = set()
    for model in models(artifacts):
        teacher, start = model.codebook and model.codebook.teacher, model.start
        imported = [item for item in (teacher, start) if isinstance(item, ImportedModel)]
        used = (model, model.codebook, model.mixtures, *model.labels, *imported)
        if artifact.key in {item.key for item in used if item}:
            found.add(model.iteration)
    return found


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
