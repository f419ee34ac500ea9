"""The summary of a run, read from the store: corpora, results, versions, plots, findings, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.results.board import Board, keep
from wavlm.mixing.facts import MixturesFacts
from wavlm.mixing.pairs import LISTEN_FOLDER
from wavlm.pipeline.artifacts import (
    Artifact,
    Corpus,
    Evaluation,
    Finetune,
    Mixtures,
    Model,
    Registration,
    Scores,
    Shards,
    keep_latest,
)
from wavlm.pipeline.findings import findings
from wavlm.pipeline.mixed import describe_shortfall
from wavlm.pipeline.parts import read_parts
from wavlm.pipeline.refreshes import read_refresh
from wavlm.pipeline.registration import REPORT_FILE, Current, RegistrationFacts, place_of, show_registry
from wavlm.pipeline.results import (
    IterationResults,
    label_quality_of,
    read_layer_pnmi,
    read_mixing,
    read_scores_facts,
    read_training_results,
)
from wavlm.pipeline.sampling import describe_times
from wavlm.pipeline.scoreboard import find_results
from wavlm.pipeline.shares import describe_shares
from wavlm.pipeline.start import describe_start
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import Recipe
from wavlm.train.facts import TrainingFacts

Found = Mapping[tuple[str, int], Current]  # by name and number


@dataclass(frozen=True)
class CorpusSummary:
    """One corpus as its stages left it."""

    name: str
    role: str
    facts: ShardsFacts
    found: CorpusFacts | None  # what its files gave; None if they are no longer in the store


@dataclass(frozen=True)
class VersionSummary:
    """A registered version, with the aliases it got that no later registration took."""

    iteration: int
    name: str
    version: int
    aliases: tuple[str, ...]
    champion: str  # why it is champion, or is not
    uri: str


@dataclass(frozen=True)
class Summary:
    corpora: tuple[CorpusSummary, ...]
    results: tuple[IterationResults, ...]
    mixtures: tuple[MixturesFacts, ...]
    versions: tuple[VersionSummary, ...]
    plots: tuple[Path, ...]
    listen: tuple[Path, ...]  # folders with pairs of WAV files: clean, mixed
    findings: tuple[str, ...]
    advice: tuple[str, ...]  # commands to try next, with RECIPE for the recipe
    missing: tuple[str, ...]  # artifacts of the plan that are not complete
    board: Board = field(default_factory=lambda: Board(()))  # of all evaluations
    reports: tuple[Path, ...] = ()  # pages about the registered models, first iteration first

    @property
    def first(self) -> tuple[str, ...]:
        """What a person should look at first, once a model is registered: its page, its curves, what it hears."""
        if not self.reports:
            return ()
        listen = [f"{folder}  clean and mixed speech to listen to" for folder in self.listen[-1:]]
        page = f"{self.reports[-1]}  the page of the newest model, for a browser"
        return (page, "wavlm ui  curves and versions in MLflow, runs in Prefect", *listen)


def summarise(
    artifacts: Sequence[Artifact], store: Store, read_current: Callable[[Store, set[str]], Found | None] | None = None
) -> Summary:
    """Sum up the artifacts of a plan, as far as the store holds them.

    `read_current` asks the registry what it says of versions now. Without it, or without an answer, they are shown as
    they were when they were registered.
    """
    complete = [item for item in artifacts if store.is_complete(item)]
    results = tuple(_iteration_results(item, artifacts, store) for item in complete if isinstance(item, Model))
    registrations = [item for item in complete if isinstance(item, Registration)]
    names = {item.registry_name for item in registrations}
    versions = _versions(registrations, store, read_current(store, names) if read_current else None)
    return Summary(
        corpora=tuple(_corpus(item, store) for item in keep_latest(complete) if isinstance(item, Shards)),
        results=results,
        mixtures=tuple(store.facts(item, MixturesFacts) for item in complete if isinstance(item, Mixtures)),
        versions=versions,
        plots=tuple(
            plot for item in artifacts if isinstance(item, Scores | Registration) for plot in plots_of(item, store)
        ),
        listen=tuple(store.path(item) / LISTEN_FOLDER for item in complete if isinstance(item, Mixtures)),
        findings=tuple(findings(results)),
        advice=tuple(_advice(artifacts, versions, store)),
        missing=tuple(str(item) for item in artifacts if not store.is_complete(item)),
        board=keep(find_results([item for item in complete if isinstance(item, Evaluation | Finetune)], store)),
        reports=tuple(_reports(complete, store)),
    )


def plots_of(artifact: Scores | Registration, store: Store) -> tuple[Path, ...]:
    """The plots of scores or of a registration. One that waits for the registry has its plots already."""
    if not artifact.is_known:
        return ()
    waits = isinstance(artifact, Registration) and not store.is_complete(artifact)
    folder = store.partial_folder(artifact) if waits else store.path(artifact)
    return tuple(sorted(folder.rglob("*.png")))


def _reports(complete: Sequence[Artifact], store: Store) -> Iterator[Path]:
    """Registrations of an earlier version of the pipeline have none."""
    pages = (store.path(item) / REPORT_FILE for item in complete if isinstance(item, Registration))
    yield from (page for page in pages if page.is_file())


def _iteration_results(model: Model, artifacts: Sequence[Artifact], store: Store) -> IterationResults:
    scores = next((item for item in artifacts if isinstance(item, Scores) and item.model.key == model.key), None)
    return IterationResults(
        iteration=model.iteration,
        quality=label_quality_of(model.labels, store),
        training=read_training_results(store.path(model)),
        notes=tuple(_notes(model, store)),
        layers=read_layer_pnmi(scores, store),
        mixing=read_mixing(model, store),
        parts=read_parts(model, store),
        scores=read_scores_facts(scores, store),
    )


def _corpus(shards: Shards, store: Store) -> CorpusSummary:
    corpus = shards.corpus
    found = store.facts(corpus, CorpusFacts) if store.is_complete(corpus) else None
    return CorpusSummary(shards.name, corpus.spec.role, store.facts(shards, ShardsFacts), found)


def show_hours(artifact: Corpus | Shards, store: Store) -> str:
    """The hours of train and valid that a complete corpus or its shards hold."""
    facts: CorpusFacts | ShardsFacts
    facts = store.facts(artifact, CorpusFacts) if isinstance(artifact, Corpus) else store.facts(artifact, ShardsFacts)
    return f"{facts.train_hours:.2f} h train, {facts.valid_hours:.2f} h valid"


def speech_hours(recipe: Recipe, store: Store) -> float | None:
    """The hours of speech that the shards of a resolved recipe hold; None if one of them is not there."""
    shards = [Shards(recipe.shards, Corpus(spec)) for spec in recipe.speech]
    if not store.has_all(shards):
        return None
    return sum(store.facts(item, ShardsFacts).hours for item in shards)


def hours_since_refresh(recipe: Recipe, store: Store) -> float | None:
    """The hours of speech of a resolved recipe beyond those that its last refresh took; all of them if there is none.

    None if the shards are not there. Speech that was removed counts against what was added.
    """
    hours, newest = speech_hours(recipe, store), read_refresh(store.root, recipe.name)
    while newest is not None and newest.hours is None and newest.number > 1:  # it has not taken any yet
        newest = read_refresh(store.root, recipe.name, newest.number - 1)
    before = newest.hours if newest else None
    return None if hours is None else max(0.0, hours - (before or 0.0))


def _notes(model: Model, store: Store) -> Iterator[str]:
    """What a reader of a model's figures has to know: what its labels were fitted on, how its curve was measured."""
    if model.codebook and len(model.codebook.shards) > 1 and store.is_complete(model.codebook):
        yield f"Iteration {model.iteration}: k-means of its labels, {describe_shares(model.codebook, store)}."
    if times := describe_times(model, store):
        yield f"Iteration {model.iteration} took its speech {times}."
    if start := describe_start(model, store):
        yield f"Iteration {model.iteration} started from {start}."
    facts, train = store.facts(model, TrainingFacts), model.train
    if shortfall := describe_shortfall(model, facts.mixing):
        yield f"Iteration {model.iteration}: {shortfall}."
    wanted = (store.path(model.mixtures).name,) if model.mixtures else ()
    if facts.validated_on != wanted:
        found, expected = (", ".join(names) or "(none)" for names in (facts.validated_on, wanted))
        yield (
            f"Iteration {model.iteration} was validated on the mixtures {found}, the recipe now has {expected}: the "
            "model is the same, its curve stays as it is."
        )
    if facts.valid_every and (facts.valid_every, facts.log_every) != (train.valid_every, train.log_every):
        yield (
            f"The curve of iteration {model.iteration} has valid_every {facts.valid_every} and log_every "
            f"{facts.log_every}, the recipe {train.valid_every} and {train.log_every}: the model is the same."
        )


def _versions(registrations: Sequence[Registration], store: Store, current: Found | None) -> tuple[VersionSummary, ...]:
    """The versions by iteration; as recorded, an alias belongs to the one that was registered last with it."""
    newest_first = sorted(registrations, key=lambda item: store.head(item).finished_unix, reverse=True)
    taken: set[str] = set()
    versions = []
    for registration in newest_first:
        facts = store.facts(registration, RegistrationFacts)
        version = _version(registration, facts, taken, store)
        versions.append(version if current is None else _update(version, current.get((facts.name, facts.version))))
        taken.update(facts.aliases)
    return tuple(sorted(versions, key=lambda item: item.iteration))


def _update(version: VersionSummary, now: Current | None) -> VersionSummary:
    """The version as the registry has it now; None: it is no longer there."""
    if now is None:
        return replace(version, aliases=(), champion="not in the registry any more: wavlm sync RECIPE registers it")
    return replace(version, aliases=now.aliases, champion=now.champion or version.champion)


def _version(registration: Registration, facts: RegistrationFacts, taken: Set[str], store: Store) -> VersionSummary:
    return VersionSummary(
        iteration=registration.model.iteration,
        name=facts.name,
        version=facts.version,
        aliases=tuple(alias for alias in facts.aliases if alias not in taken),
        champion=facts.champion,
        uri=show_registry(place_of(facts), store.root),
    )


def _advice(artifacts: Sequence[Artifact], versions: Sequence[VersionSummary], store: Store) -> Iterator[str]:
    """Commands that make sense now."""
    wanted = [item for item in artifacts if isinstance(item, Registration)]
    trained = [item for item in wanted if store.is_complete(item.model)]
    if len(trained) < len(wanted):
        yield "wavlm run RECIPE  # goes on where it stopped"
    if len(trained) > len(versions):
        yield "wavlm sync RECIPE  # registers what the registry missed"
    if versions:
        newest = max(versions, key=lambda item: item.version)
        yield f"wavlm models show {newest.name}:{newest.version}"
        yield f"wavlm models pull {newest.name}:{newest.version} {newest.name}-{newest.version}"
