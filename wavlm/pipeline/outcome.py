"""An artifact in words: a title without its key, and a line about what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from wavlm.corpus.facts import CorpusFacts
from wavlm.evaluation.facts import ScoresFacts
from wavlm.evaluation.fast.words import describe_abx
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.export.facts import ModelFacts
from wavlm.finetune.facts import FinetuneFacts
from wavlm.labels.facts import CodebookFacts, LabelsFacts
from wavlm.mixing.conversations.facts import SimulationFacts
from wavlm.mixing.facts import MixturesFacts
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
)
from wavlm.pipeline.imported import describe_source
from wavlm.pipeline.record import read_size
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.results import read_training_results
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts


def title_of(artifact: Artifact) -> str:
    """Kind, and corpus or iteration: `labels LibriSpeech mfcc-k100`, `pretrain iteration 2`."""
    words = [artifact.kind]
    if isinstance(artifact, Registration):
        words.append(artifact.registry_name)
    if isinstance(artifact, Model):
        words.append(f"iteration {artifact.iteration}")
    elif isinstance(artifact, Scores | Export | Registration):
        words.append(f"iteration {artifact.model.iteration}")
    else:
        words.append(artifact.name)
    if isinstance(artifact, Labels):
        words.append(artifact.codebook.name)
    return " ".join(words)


def describe_outcome(artifact: Artifact, store: Store) -> str:
    """What came out of a stage, in one line: hours, rejects, quality, loss, verdict.

    Raises BadDataError if the artifact is not complete or its record cannot be read.
    """
    return "; ".join(_DESCRIBE.get(type(artifact), _size)(artifact, store))


def _corpus(artifact: Corpus, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, CorpusFacts)
    yield f"{facts.utterances} recordings of {facts.speakers} speakers, {_length(facts.hours)}"
    if facts.role == "evaluation":
        yield f"{facts.with_target} of them with targets, {facts.trials} trials"
    else:
        yield f"{facts.valid_utterances} of them for validation"
    if facts.excluded:
        yield "left out: " + _counts({why: amount.recordings for why, amount in facts.excluded.items()})


def _shards(artifact: Shards, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, ShardsFacts)
    yield f"{_length(facts.train_hours)} train, {_length(facts.valid_hours)} valid, {facts.utterances} utterances"
    yield f"rejected: {_counts(facts.rejected) or 'none'}"
    if facts.excluded:
        yield f"excluded: {_counts(facts.excluded)}"


def _imported(artifact: ImportedModel, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, ModelFacts)
    yield f"{facts.num_layers} layers of width {facts.width}, {facts.parameters / 1e6:,.1f} M parameters"
    yield f"from {describe_source(artifact)} ({facts.layout} layout)"
    head = f"head for {facts.num_clusters} clusters" if facts.num_clusters else "head with a quantiser"
    yield head if facts.has_head else "no head"


def _codebook(artifact: Codebook, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, CodebookFacts)
    fit = facts.valid or facts.train
    streams = f"{facts.num_streams} x " if facts.num_streams > 1 else ""
    if facts.features is None:
        yield f"{streams}{facts.num_clusters} classes, {facts.train.num_frames} frames"
        yield f"{fit.used_clusters} used, perplexity {fit.perplexity:.1f}"
        return
    yield f"{streams}{facts.num_clusters} clusters of {facts.num_channels} channels, {facts.train.num_frames} frames"
    if facts.stream_errors:
        yield f"error by codebook: {', '.join(f'{error:.3f}' for error in facts.stream_errors)} of the variance"
    yield f"{fit.used_clusters} used, perplexity {fit.perplexity:.1f}, {fit.inertia_per_frame:.4g} inertia per frame"


def _labels(artifact: Labels, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, LabelsFacts)
    yield f"{facts.num_labels} labels of {facts.num_utterances} utterances"
    yield f"{facts.used_clusters} of {facts.num_clusters} clusters used, entropy {facts.entropy_bits:.2f} bits"
    if quality := facts.quality:
        joint = f", of all {facts.num_streams} streams {facts.joint_pnmi:.3f}" if facts.joint_pnmi is not None else ""
        yield f"PNMI {quality.pnmi:.3f}{joint}, phone purity {quality.phone_purity:.3f}"
    else:
        yield "quality unknown: no phones"


def _mixtures(artifact: Mixtures, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, MixturesFacts)
    yield f"{facts.utterances} mixtures, {facts.with_speech} with speech, {facts.with_noise} with noise"
    yield f"{facts.mixed_share:.0%} of the samples mixed, {facts.mean_ratio_db:.1f} dB in the mean"


def _simulation(artifact: Simulation, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, SimulationFacts)
    for name, part in (("train", facts.train), ("dev", facts.dev), ("test", facts.test)):
        if part is not None:
            yield f"{name}: {part.conversations} conversations, {part.hours:.2f} h, {part.voices} voices"
            yield f"{part.overlap:.1%} of the speech overlaps, nobody speaks in {part.silence:.1%}"


def _model(artifact: Model, store: Store) -> Iterator[str]:
    results = read_training_results(store.path(artifact))
    if results is None:
        yield "no curve"
        return
    yield f"{results.updates} updates"
    for name, ends in (("train", results.train_loss), ("valid", results.valid_loss)):
        if ends:
            yield f"{name} loss {ends[0]:.3f} to {ends[1]:.3f}"
    if results.masked_accuracy is not None:
        guess = "" if results.majority is None else f" (commonest label: {results.majority:.1%})"
        yield f"masked accuracy {results.masked_accuracy:.1%}{guess}"
    if results.hard_perplexity:
        yield f"hard perplexity {results.hard_perplexity[0]:.1f} to {results.hard_perplexity[1]:.1f}"


def _scores(artifact: Scores, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, ScoresFacts)
    if facts.best_pnmi is None or facts.mfcc_pnmi is None:
        yield f"no label quality: {facts.reason or 'the reason is not known'}"
    else:
        yield f"best is layer {facts.best_layer} with PNMI {facts.best_pnmi:.3f}, MFCC have {facts.mfcc_pnmi:.3f}"
        yield f"on {facts.num_utterances} utterances"
    yield from describe_abx(facts)
    ranks = [shape.effective_rank for shape in facts.shapes if shape.layer and not shape.corpus]
    if ranks:
        yield f"effective rank {min(ranks):.1f} to {max(ranks):.1f}"


def _evaluation(artifact: Evaluation, store: Store) -> Iterator[str]:
    yield from _results(store.facts(artifact, EvaluationFacts))


def _results(facts: EvaluationFacts) -> Iterator[str]:
    if facts.main and facts.test:
        spread = facts.main.interval
        yield f"{facts.main.name} {facts.main.value:.4g}" + (
            f" ({spread.low:.4g} to {spread.high:.4g})" if spread else ""
        )
        yield f"on {facts.test.utterances} utterances of {facts.test.speakers} speakers, {facts.reality}"


def _finetune(artifact: Finetune, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, FinetuneFacts)
    yield f"{facts.updates} updates on {facts.subject}, {facts.parameters / 1e6:,.1f} M parameters"
    yield from _results(facts.results)


def _size(artifact: Artifact, store: Store) -> Iterator[str]:
    num_files, num_bytes = read_size(store.path(artifact))
    yield f"{num_files} files, {num_bytes / 1e6:.1f} MB"


def _registration(artifact: Registration, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, RegistrationFacts)
    yield f"version {facts.version}" + (f" ({', '.join(facts.aliases)})" if facts.aliases else "")
    yield f"champion: {facts.champion}"


def _system_registration(artifact: SystemRegistration, store: Store) -> Iterator[str]:
    facts = store.facts(artifact, RegistrationFacts)
    yield f"version {facts.version} of {facts.name}"


def _length(hours: float) -> str:
    """Hours, or seconds where there is little."""
    return f"{hours:.2f} h" if hours >= 0.1 or not hours else f"{3600 * hours:.1f} s"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


_DESCRIBE: dict[type[Artifact], Callable[[Any, Store], Iterator[str]]] = {
    Corpus: _corpus,
    Shards: _shards,
    ImportedModel: _imported,
    Codebook: _codebook,
    Labels: _labels,
    Mixtures: _mixtures,
    Simulation: _simulation,
    Model: _model,
    Scores: _scores,
    Evaluation: _evaluation,
    Finetune: _finetune,
    Registration: _registration,
    SystemRegistration: _system_registration,
}
