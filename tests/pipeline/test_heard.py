"""An evaluation says how many of its test recordings the model was trained on, by the bytes of the files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.flows.tones import CORPUS, write_tones
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.evaluation.examples import Take, takes_of
from wavlm.evaluation.run import run_evaluation
from wavlm.execution.progress import no_progress
from wavlm.pipeline.artifacts import Corpus, Evaluation, ImportedModel, Model, Shards
from wavlm.pipeline.evaluations import find_inputs
from wavlm.pipeline.grow import grow
from wavlm.pipeline.resolve import resolve_corpus
from wavlm.pipeline.store import Store
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import ModelFolder, ModelSpec, ShardSpec
from wavlm.specs.evaluation import FbankBaseline
from wavlm.specs.yaml import find_suite, read_corpus

WHOLE = ShardSpec(min_seconds=0.1, max_seconds=3600.0)


def make_shards(path: Path, store: Store) -> Shards:
    spec = read_corpus(path)
    grow(spec, store, stall_seconds=0)
    shards = Shards(WHOLE, Corpus(resolve_corpus(spec, store)))
    source, audio = store.path(shards.corpus), (path.parent / spec.sources[0].path).resolve()  # type: ignore[union-attr]
    intake = Intake(stall_seconds=0, root=audio)
    store.make(shards, lambda out: build_shards(WHOLE, source, out, 1, no_progress, intake))
    return shards


def write_speech(folder: Path, name: str, place: str) -> Path:
    """A corpus to train on: the recordings of a folder."""
    text = CORPUS.format(name=name, folder=place).replace("role: evaluation", "role: speech")
    kept = [line for line in text.splitlines() if not line.startswith(("  transcripts", "  text_", "  class_"))]
    path = folder / f"corpora/{name}.yaml"
    path.write_text("\n".join(kept).replace("^(?P<speaker>[^/]+)/", "^(?P<speaker>[a-z]+)") + "\n")
    return path


def write_weights(store: Store, model: Model, weights: bytes) -> None:
    store.path(model).mkdir(parents=True, exist_ok=True)
    (store.path(model) / "model.safetensors").write_bytes(weights)
    (store.path(model) / "network.json").write_text("{}")


@pytest.fixture
def evaluation(tmp_path: Path) -> tuple[Evaluation, Store]:
    """An evaluation of a model that was trained on one of the four voices."""
    suite, store = write_tones(tmp_path, {"ks": "tones"}), Store(tmp_path / "store")
    labelled = make_shards(tmp_path / "corpora/tones.yaml", store)
    speech = make_shards(write_speech(tmp_path, "voices", "tones/ann"), store)
    model = Model(tiny_network(), tiny_training(), (speech,))
    write_weights(store, model, b"weights")
    return Evaluation(find_suite(suite).evaluations[0], model, (labelled,)), store


def test_recordings_with_the_same_bytes_are_found_under_any_name(evaluation: tuple[Evaluation, Store]) -> None:
    artifact, store = evaluation
    inputs = find_inputs(artifact, store)
    (corpus,) = inputs.corpora
    assert {row.key.split("__")[0] for row in corpus.rows if row.take in inputs.heard} == {"ann"}
    assert len(inputs.heard) == 6
    baseline = dataclasses.replace(artifact, subject=FbankBaseline(type="fbank"))
    assert find_inputs(baseline, store).heard == frozenset()


def test_the_results_say_how_many_of_the_test_part(evaluation: tuple[Evaluation, Store], tmp_path: Path) -> None:
    artifact, store = evaluation
    inputs = find_inputs(dataclasses.replace(artifact, subject=FbankBaseline(type="fbank")), store)
    everything = frozenset(row.take for corpus in inputs.corpora for row in corpus.rows)
    notes = []
    for heard in (frozenset[Take](), everything):
        known = dataclasses.replace(inputs, heard=heard)
        notes.append(run_evaluation(artifact.spec, known, tmp_path / "cache", tmp_path / str(len(heard))).notes)
    assert notes[0] == ()
    assert notes[1][0].startswith("The model was trained on 12 of the 12 test recordings, without their targets")


@pytest.mark.parametrize(
    ("trained_on", "note"),
    [
        ((), "What mine was trained on is not known here"),
        (("other", "one"), ""),
        (("other", "tones"), "mine was trained on other, tones, as its publisher says, and tones is of that"),
    ],
)
def test_figures_of_a_model_from_elsewhere_say_what_it_was_trained_on(
    evaluation: tuple[Evaluation, Store], trained_on: tuple[str, ...], note: str
) -> None:
    artifact, store = evaluation
    source = ModelFolder(type="folder", path="somewhere", content="a" * 64)
    model = ImportedModel(ModelSpec(source=source, trained_on=trained_on), "mine")
    write_weights(store, model, b"weights")  # type: ignore[arg-type]
    notes = find_inputs(dataclasses.replace(artifact, subject=model), store).notes
    assert [item[: len(note)] for item in notes] == ([note] if note else [])


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Audio that is made of others."""

    parts: tuple[Take, ...]
    gain: float = 1.0


def test_the_recordings_of_mixed_audio_are_found_in_it() -> None:
    parts = (Take(0, 1), Take(1, 2, start=5))
    assert list(takes_of(Mixed(parts))) == list(parts)


def test_a_model_that_was_made_again_with_other_weights_takes_no_features_of_the_old_ones(
    evaluation: tuple[Evaluation, Store],
) -> None:
    artifact, store = evaluation
    assert isinstance(artifact.subject, Model)
    before = find_inputs(artifact, store).subject.identity
    assert find_inputs(artifact, store).subject.identity == before
    write_weights(store, artifact.subject, b"others!")
    assert find_inputs(artifact, store).subject.identity != before
