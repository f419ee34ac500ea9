"""The results of all evaluations that a store holds, for tables: no recipe is needed to read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, ValidationError

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.results.board import SHORT, Board, StoredResult, keep
from wavlm.evaluation.results.facts import EvaluationFacts, Figure
from wavlm.export.facts import ModelFacts
from wavlm.pipeline.artifacts import Artifact, Evaluation, Finetune, ImportedModel, Model, Registration, lineage
from wavlm.pipeline.fit import find_broken
from wavlm.pipeline.plan import evaluations_of, systems_of
from wavlm.pipeline.protocols import check_protocols
from wavlm.pipeline.record import RECORD_FILE, RecordHead, read_head
from wavlm.pipeline.registration import RegistrationFacts
from wavlm.pipeline.siblings import complete_in
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.identity import key_of
from wavlm.specs.lookup import suggest


def read_stored_results(store: Store) -> list[StoredResult]:
    """The results of all complete evaluations, with the names of registered versions where there are any.

    A version that was taken from the registry is the model that was registered, whatever it was called then: aliases
    move.
    Raises BadDataError (RECORD_BROKEN) for a record that is damaged.
    """
    versions = _versions(store)
    return [
        _read(folder, versions) for kind in (Evaluation, Finetune) for folder in complete_in(store.root / kind.kind)
    ]


def make_board(results: Iterable[StoredResult], store: Store, evaluations: Sequence[str] = ()) -> Board:
    """The table of some results, or of those of the named evaluations. What does not follow its protocol says so."""
    return keep(check_protocols(results, store), evaluations)


def board_of(model: Model, recipe: Recipe, store: Store) -> Board:
    """The table of a recipe's suite for one model, as far as the store holds it.

    Beside it are the models that it was made from, such as that of the iteration before, and the baselines.
    """
    made_from = [item for item in lineage([model]) if isinstance(item, Model)]
    evaluations = {one.key: one for item in made_from for one in evaluations_of(item, recipe)}
    return make_board(find_results(evaluations.values(), store), store)


def systems_board_of(model: Model, recipe: Recipe, store: Store) -> Board:
    """The table of the systems that a recipe fine-tunes on one model, as far as the store holds them."""
    return keep(find_results([it for it in systems_of(recipe, model) if it.stands_on == model], store))


def own_results(board: Board, model: Artifact) -> list[EvaluationFacts]:
    """The results of a model, without those of baselines."""
    return [it.facts for it in board.results if it.subject == model.key]


def suite_metrics(suite: str, results: Iterable[EvaluationFacts]) -> dict[str, float]:
    """The figures of a model as metrics."""
    return {metric_name(suite, it, figure): figure.value for it in results for figure in it.figures}


def metric_name(suite: str, facts: EvaluationFacts, figure: Figure) -> str:
    """The metric of a figure: `<suite>/<evaluation>/<figure>`, such as `superb/ks/accuracy`.

    The name of an evaluation that begins with the name of its suite does not say it twice.
    """
    return f"{suite}/{facts.evaluation.removeprefix(f'{suite}-')}/{figure.name}"


def choose_subjects(results: Sequence[StoredResult], names: Sequence[str]) -> list[StoredResult]:
    """The results of some models and baselines, by name or by the beginning of the key; of all, if none is named.

    Raises UsageError (NOTHING_FITS) for a name that nothing has.
    """
    known = {it.facts.subject for it in results}
    for name in names:
        if not any(_is_called(it, name) for it in results):
            raise UsageError(
                "NOTHING_FITS",
                f"no results of {name}, there is: {', '.join(sorted(known)) or 'nothing'}; in this store; "
                f"{suggest(name, sorted(known)) or 'choose one of these'}",
            )
    return [it for it in results if not names or any(_is_called(it, name) for name in names)]


def _is_called(result: StoredResult, name: str) -> bool:
    return result.facts.subject == name or (len(name) >= SHORT and result.subject.startswith(name))


def result_of(artifact: Evaluation | Finetune, store: Store) -> StoredResult:
    """The results of one complete evaluation, or of a complete system."""
    return _read(store.path(artifact), {})


def find_results(artifacts: Iterable[Evaluation | Finetune], store: Store) -> list[StoredResult]:
    """The results of those of some evaluations and systems that are complete."""
    return [result_of(item, store) for item in artifacts if store.is_complete(item)]


def _read(folder: Path, versions: Mapping[str, _Version]) -> StoredResult:
    if error := find_broken(folder):
        raise error
    head = read_head(folder)
    facts = _facts_of(head, folder)
    if head.identity.get("kind") == Finetune.kind:
        return StoredResult(facts, head.key, key_of(_conditions_of_system(head)), head.finished_unix, folder)
    conditions = {name: value for name, value in head.identity.items() if name != "subject"}
    subject = _subject_of(head.identity.get("subject"))
    if version := versions.get(subject):
        subject, facts = version.key, facts.model_copy(update={"subject": version.name})
    return StoredResult(facts, subject, key_of(conditions), head.finished_unix, folder)


def _conditions_of_system(head: RecordHead) -> dict[str, JsonValue]:
    """What systems have to have in common to stand in one column: task, data and split, however they were trained."""
    spec = head.identity.get("spec")
    fields = spec if isinstance(spec, dict) else {}
    same = {name: fields.get(name) for name in ("task", "split", "max_utterances")}
    simulated = {"simulation": head.identity["simulation"]} if "simulation" in head.identity else {}
    return {"kind": Finetune.kind, "shards": head.identity.get("shards"), **simulated, **same}


def _facts_of(head: RecordHead, folder: Path) -> EvaluationFacts:
    is_system = head.identity.get("kind") == Finetune.kind
    try:
        return EvaluationFacts.model_validate(head.facts["results"] if is_system else head.facts, strict=False)
    except (ValidationError, KeyError) as error:
        raise BadDataError(
            "RECORD_BROKEN", f"no results can be read: {error}; at {folder / RECORD_FILE}; make the evaluation again"
        ) from error


def _subject_of(value: JsonValue) -> str:
    """The key of a model; the digest of a baseline."""
    return value if isinstance(value, str) else key_of(value)


@dataclass(frozen=True)
class _Version:
    """A version of a registered model."""

    key: str  # of the model that was registered
    name: str  # NAME:VERSION


def _versions(store: Store) -> dict[str, _Version]:
    """The version of each registered model by its key; of several versions of one model the last.

    With those that were taken from a registry, by the keys of the copies.
    """
    found: dict[str, _Version] = {}
    for head in _heads(store, Registration):
        facts = RegistrationFacts.model_validate(head.facts, strict=False)
        key = str(head.identity.get("model"))
        found[key] = _Version(key, f"{facts.name}:{facts.version}")
    for head in _heads(store, ImportedModel):
        if origin := ModelFacts.model_validate(head.facts, strict=False).registered:
            named = _Version(origin.key or head.key, f"{origin.model}:{origin.version}")
            found[head.key] = found.setdefault(named.key, named)
    return found


def _heads(store: Store, kind: type[Artifact]) -> Iterator[RecordHead]:
    """The heads of the records of a kind that can be read."""
    for folder in complete_in(store.root / kind.kind):
        if not find_broken(folder):
            yield read_head(folder)
