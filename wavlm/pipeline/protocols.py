"""Whether a result that names a published protocol follows it: it has to equal the evaluation that we ship for it.

A spec of a user may name any protocol. What decides is compared with the shipped evaluation: task, split, head and fit,
corpora, their packing and their sources. A corpus that everybody prepares in a folder of their own has no published
digest: name, layout and hours are all that can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pydantic import JsonValue, ValidationError

from wavlm.errors import BadDataError
from wavlm.evaluation.results.board import StoredResult
from wavlm.pipeline.artifacts import Corpus, Evaluation, Shards
from wavlm.pipeline.record import RECORD_FILE, RecordHead, read_head
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import CorpusSpec, EvaluationSpec
from wavlm.specs.identity import canonical
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.yaml import read_evaluation

Fields = Mapping[str, JsonValue]

DECISIVE = ("task", "split", "head", "fit")  # fields of an evaluation
OF_CORPUS = ("role", "layout", "language", "channels")
DIGESTS = ("sha256", "md5")  # by which a publisher pins an archive
# How far the search goes is free, as SUPERB has it; a decoder gives figures of its own beside the greedy one.
FREE = {"fit": frozenset({"learning_rates", "seeds"}), "task": frozenset({"decoder"})}
LEAST_SHARE = 0.5  # of a corpus's expected hours: with less it is no copy of the published one


def check_protocols(results: Iterable[StoredResult], store: Store) -> list[StoredResult]:
    """The results; those that do not follow the protocol that they name say in what, as a deviation.

    Raises BadDataError (RECORD_BROKEN) for a record that is damaged.
    """
    return [_check(it, store) if it.facts.protocol else it for it in results]


def find_shipped(protocol: str) -> EvaluationSpec | None:
    """The evaluation that we ship for a protocol; None without one. It is named by it: `superb-ks` for `superb/ks`."""
    path = shipped_specs() / "evaluations" / f"{protocol.replace('/', '-')}.yaml"
    found = read_evaluation(path) if path.is_file() else None
    return found if found and found.protocol == protocol else None


def _check(result: StoredResult, store: Store) -> StoredResult:
    facts, shipped = result.facts, find_shipped(result.facts.protocol)
    if shipped is None:
        why = [f"no evaluation that we ship follows {facts.protocol}"]
    elif result.folder is None:
        why = ["what it was made from is not known"]
    else:
        why = list(_differences(read_head(result.folder), shipped, store))
    if not why:
        return result
    text = "; ".join(filter(None, (facts.deviation, *why)))
    return replace(result, facts=facts.model_copy(update={"deviation": text}))


def _differences(head: RecordHead, shipped: EvaluationSpec, store: Store) -> Iterator[str]:
    """In what an evaluation is another one than the shipped one of its protocol."""
    if head.identity.get("kind") != Evaluation.kind:
        yield f"it is no frozen model, as {shipped.name} has it"
        return
    found, expected = _fields(head.identity.get("spec")), _fields(canonical(shipped))
    if other := [name for name in DECISIVE if _decisive(found, name) != _decisive(expected, name)]:
        yield f"another {' and '.join(other)} than {shipped.name} has"
    if more := [name for name in ("noise", "simulation") if head.identity.get(name)]:
        yield f"{shipped.name} has no {' and no '.join(more)}"
    yield from _data(head, shipped, store)


def _data(head: RecordHead, shipped: EvaluationSpec, store: Store) -> Iterator[str]:
    """In what the data are other ones."""
    packed = _inputs(head, Shards.kind, store)
    pairs = [(it, corpus) for it in packed for corpus in _inputs(it, Corpus.kind, store)]
    keys = head.identity.get("shards")
    if not isinstance(keys, list) or len(pairs) != len(keys):
        yield "its corpora are no longer in the store, so nothing shows which they were"
        return
    found = {str(_fields(corpus.identity.get("spec")).get("name")): (it, corpus) for it, corpus in pairs}
    expected = {it.name: it for it in shipped.corpora}
    if set(found) != set(expected):
        yield f"its data are {', '.join(sorted(found))}, not {', '.join(sorted(expected))}"
        return
    if any(it.identity.get("spec") != canonical(shipped.shards) for it in packed):
        yield f"its recordings are packed in another way than those of {shipped.name}"
    for name, (it, corpus) in found.items():
        yield from _corpus(it, corpus, expected[name])


def _inputs(head: RecordHead, kind: str, store: Store) -> list[RecordHead]:
    """The records of what an artifact was made from, of one kind, as far as the store still holds them."""
    folders = [store.root / name for name in head.inputs if name.split("/")[0] == kind]
    return [read_head(folder) for folder in folders if (folder / RECORD_FILE).is_file()]


def _corpus(packed: RecordHead, corpus: RecordHead, shipped: CorpusSpec) -> Iterator[str]:
    """In what a corpus is another one than the shipped one of its name."""
    found, expected = _fields(corpus.identity.get("spec")), _fields(canonical(shipped))
    if other := [name for name in OF_CORPUS if found.get(name) != expected.get(name)]:
        yield f"another {' and '.join(other)} than {shipped.name} has"
    if set(_digests(expected)) - set(_digests(found)):
        yield f"{shipped.name} is not made from the published archives"
    if not _digests(expected) and not shipped.expected_hours:
        yield f"nothing shows that {shipped.name} holds what was published: its spec knows no digest and no hours"
    hours = _hours_of(packed)
    if hours < LEAST_SHARE * shipped.expected_hours:
        yield f"{shipped.name} holds {hours:.3g} h of the {shipped.expected_hours:g} h that were published"


def _hours_of(packed: RecordHead) -> float:
    try:
        return ShardsFacts.model_validate(packed.facts, strict=False).hours
    except ValidationError as error:
        where = f"the record of shards {packed.key}"
        raise BadDataError("RECORD_BROKEN", f"no facts can be read: {error}; in {where}; pack them again") from error


def _digests(corpus: Fields) -> list[str]:
    """The digests of the archives of a corpus."""
    sources = corpus.get("sources")
    every = [_fields(it) for it in sources] if isinstance(sources, list) else []
    return [str(it[name]) for it in every for name in DIGESTS if it.get(name)]


def _decisive(spec: Fields, name: str) -> JsonValue:
    """A field without what is free in it."""
    value = spec.get(name)
    if not isinstance(value, dict):
        return value
    return {field: item for field, item in value.items() if field not in FREE.get(name, ())}


def _fields(value: JsonValue) -> Fields:
    return value if isinstance(value, dict) else {}
