"""The plan of a recipe: all its artifacts, in the order in which they are built. Planning runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavlm.pipeline.artifacts import (
    Artifact,
    Codebook,
    Corpus,
    Export,
    Kind,
    Labels,
    Mixtures,
    Model,
    Registration,
    Scores,
    Shards,
    lineage,
)
from wavlm.specs import CorpusSpec, IterationSpec, MixSpec, MixturesSpec, Recipe, ShardSpec


@dataclass(frozen=True)
class _Sources:
    """Shards by role, shared by all iterations."""

    speech: tuple[Shards, ...]
    noise: tuple[Shards, ...]
    rooms: tuple[Shards, ...]
    mixtures: Mixtures | None


def plan(recipe: Recipe) -> tuple[Artifact, ...]:
    """All artifacts of a recipe, inputs before what is made from them. Runs nothing."""
    sources = _collect_sources(recipe)
    wanted: list[Artifact] = [*sources.speech, *sources.noise, *sources.rooms]
    teacher: Model | None = None
    for iteration in recipe.iterations:
        teacher = _model(iteration, sources, teacher)
        wanted.append(teacher)
        scores = scores_of(teacher, recipe)
        wanted += [*([scores] if scores else []), Export(teacher), Registration(recipe.registry_name, teacher)]
    return tuple(lineage(wanted))


def models(artifacts: Sequence[Artifact]) -> tuple[Model, ...]:
    """The models of a plan, first iteration first."""
    return tuple(artifact for artifact in artifacts if isinstance(artifact, Model))


def scores_of(model: Model, recipe: Recipe) -> Scores | None:
    """The scores that a recipe asks of a model, on the speech that it was trained on; None if it asks for none."""
    return Scores(recipe.probe, model, model.shards) if recipe.probe else None


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
    """The artifacts of one kind, narrowed by iteration and corpus.

    Raises ValueError that lists what there is if nothing fits.
    """
    of_kind = [item for item in artifacts if item.kind == kind]
    found = tuple(
        item
        for item in of_kind
        if (iteration is None or item.iteration == iteration) and (corpus is None or corpus in corpora(item))
    )
    if not found:
        there_is = ", ".join(str(item) for item in of_kind) or "none of this kind"
        raise ValueError(f"nothing fits kind={kind} iteration={iteration} corpus={corpus}; there is: {there_is}")
    return found


def select_needed(artifacts: Sequence[Artifact], until: Kind | None) -> tuple[Artifact, ...]:
    """What has to exist for all artifacts of kind `until`; everything if that is None."""
    if until is None:
        return tuple(artifacts)
    return tuple(lineage(item for item in artifacts if item.kind == until))


def _collect_sources(recipe: Recipe) -> _Sources:
    speech = _shards(recipe.speech, recipe.shards)
    noise = _shards(recipe.noise, recipe.noise_shards or recipe.shards)
    rooms = _shards(recipe.rooms, recipe.noise_shards or recipe.shards)
    mix = _last_mix(recipe)
    if recipe.mixtures is None or mix is None:
        return _Sources(speech, noise, rooms, None)
    mixtures = Mixtures(_fit_to_crops(recipe.mixtures, recipe), mix, speech, *_mixed_in(mix, noise, rooms))
    return _Sources(speech, noise, rooms, mixtures)


def _mixed_in(
    mix: MixSpec | None, noise: tuple[Shards, ...], rooms: tuple[Shards, ...]
) -> tuple[tuple[Shards, ...], tuple[Shards, ...]]:
    """The noise and the rooms that a mix draws from."""
    has_noise = mix is not None and mix.noise_probability > 0
    has_room = mix is not None and any(effect.name == "room" for effect in mix.effects)
    return noise if has_noise else (), rooms if has_room else ()


def _fit_to_crops(mixtures: MixturesSpec, recipe: Recipe) -> MixturesSpec:
    """Mixtures no longer than the crops of any training: then a validation crop is a whole mixture."""
    crops = [min(item.train.max_crop_seconds, item.train.group_seconds) for item in recipe.iterations]
    return mixtures.model_copy(update={"max_seconds": min(mixtures.max_seconds, *crops)})


def _model(iteration: IterationSpec, sources: _Sources, teacher: Model | None) -> Model:
    shards = _select_speech(iteration, sources.speech)
    hidden = iteration.codebook.features.type == "hidden"
    codebook = Codebook(iteration.codebook, shards, teacher if hidden else None)
    noise, rooms = _mixed_in(iteration.mix, sources.noise, sources.rooms)
    return Model(
        network=iteration.network,
        train=iteration.train,
        data=tuple(Labels(codebook, item) for item in shards),
        mix=iteration.mix,
        noise=noise,
        rooms=rooms,
        mixtures=sources.mixtures,
        start=iteration.start,
    )


def _last_mix(recipe: Recipe) -> MixSpec | None:
    """Every iteration is validated on the same mixed set: the one of the last mix."""
    return next((item.mix for item in reversed(recipe.iterations) if item.mix), None)


def _shards(corpora: Sequence[CorpusSpec], spec: ShardSpec) -> tuple[Shards, ...]:
    return tuple(Shards(spec, Corpus(corpus)) for corpus in corpora)


def _select_speech(iteration: IterationSpec, shards: tuple[Shards, ...]) -> tuple[Shards, ...]:
    if not iteration.speech:
        return shards
    return tuple(item for item in shards if item.corpus.name in iteration.speech)
