"""Results of a suite in the registry: metrics, tables and a picture of a version, at registration and later."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.register import register_model
from tasks.registry.connection import connect
from tasks.registry.evaluated import add_results
from tasks.registry.lookup import show_model
from tasks.registry.versions import MODEL_FOLDER
from tasks.results import publish_late, publish_late_or_warn
from tests.evaluation.suites import two_tasks
from tests.flows.tones import write_tones
from tests.tasks.conftest import build
from wavlm.evaluation.outputs import PREDICTION_SCHEMA, PREDICTIONS
from wavlm.evaluation.results.facts import Amount, ConfidenceInterval, EvaluationFacts, Figure, LayerWeight
from wavlm.export.facts import ModelFacts, RegisteredOrigin
from wavlm.pipeline.artifacts import Evaluation, Export, ImportedModel, Model, Registration, build_order
from wavlm.pipeline.plan import evaluations_of, models, plan
from wavlm.pipeline.published import find_unpublished
from wavlm.pipeline.report import gather_report, write_report
from wavlm.pipeline.scoreboard import read_stored_results
from wavlm.pipeline.store import Store
from wavlm.specs import GateSpec, ModelSpec, ModelVersion, Recipe
from wavlm.storage.parquet import write_parquet

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

    MakeStore = Callable[[GateSpec | None], BuiltStore]

pytestmark = pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")
VALUES = {"ks-kajongg": 0.625, "sid-kajongg": 0.5}
HEARD = "The model was trained on 3 of the 40 test recordings."


def facts_of(artifact: Evaluation, values: Mapping[str, float]) -> EvaluationFacts:
    """What an evaluation reports. Layers are of models alone."""
    spread = ConfidenceInterval(low=0.1, high=0.9, method="Wilson over 40 trials")
    is_model = artifact.subject_name not in ("fbank", "random")
    value = values[artifact.spec.name] if is_model else 0.25
    layers = [LayerWeight(layer=n, weight=share, norm=1.0, share=share) for n, share in enumerate((0.0, 0.25, 0.75))]
    return EvaluationFacts(
        evaluation=artifact.spec.name,
        task=artifact.spec.task.type,
        subject=artifact.subject_name,
        reality="real",
        figures=(Figure(name="accuracy", value=value, interval=spread),),
        test=Amount(utterances=40, speakers=4, minutes=0.5),
        layers=tuple(layers) if is_model else (),
        notes=(HEARD,) if is_model and artifact.spec.name == "sid-kajongg" else (),
    )


def write_results(artifact: Evaluation, out: Path, values: Mapping[str, float]) -> EvaluationFacts:
    """The predictions of 40 examples, of which as many are right as the figure says, and the facts."""
    facts = facts_of(artifact, values)
    right = round(40 * facts.figures[0].value)
    rows = [
        {
            "key": f"e{n}",
            "speaker": "",
            "fold": "",
            "seed": 0,
            "target": '"a"',
            "prediction": '"a"' if n < right else '"b"',
        }
        for n in range(40)
    ]
    write_parquet(out / PREDICTIONS, pa.Table.from_pylist(rows, PREDICTION_SCHEMA))
    return facts


def make_evaluations(recipe: Recipe, store: Store, values: Mapping[str, float] = VALUES) -> None:
    for artifact in plan(recipe):
        if isinstance(artifact, Evaluation) and not store.is_complete(artifact):
            is_first = artifact.subject_name == "iteration1"
            found = dict.fromkeys(values, 0.25) if is_first else values
            store.make(artifact, lambda out, item=artifact, those=found: write_results(item, out, those))
        elif not isinstance(artifact, Evaluation | Registration | Export) and not store.is_complete(artifact):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))


@pytest.fixture
def evaluated(built: BuiltStore) -> tuple[Recipe, Store, Model]:
    """A store in which both iterations were evaluated on the demo's suite, and its second model."""
    recipe = built.recipe.model_copy(update={"evaluate": two_tasks()})
    make_evaluations(recipe, built.store)
    return recipe, built.store, models(plan(recipe))[1]


@pytest.mark.slow
def test_a_registered_version_has_the_results_of_its_suite(evaluated: tuple[Recipe, Store, Model]) -> None:
    recipe, store, model = evaluated
    folder = register_model(Registration(recipe.registry_name, model), store, recipe)
    (version,) = show_model(store, recipe.registry_name).versions
    assert {name: value for name, value in version.metrics.items() if name.startswith("demo/")} == {
        "demo/ks-kajongg/accuracy": 0.625,
        "demo/sid-kajongg/accuracy": 0.5,
    }
    kept = store.root / "registry/artifacts" / version.run_id / "artifacts/evaluations/demo"
    names = ["layers.csv", "layers.png", "results.csv", "results.parquet"]
    assert sorted(path.name for path in kept.iterdir()) == names
    table = pq.read_table(kept / "results.parquet").to_pylist()
    assert [(row["model"], row["evaluation"], row["value"]) for row in table] == [
        ("iteration1", "ks-kajongg", 0.25),
        ("iteration1", "sid-kajongg", 0.25),
        ("iteration2", "ks-kajongg", 0.625),
        ("iteration2", "sid-kajongg", 0.5),
        ("fbank", "ks-kajongg", 0.25),
        ("fbank", "sid-kajongg", 0.25),
        ("random", "ks-kajongg", 0.25),
        ("random", "sid-kajongg", 0.25),
    ]
    with (kept / "results.csv").open() as file:
        assert [float(row["value"]) for row in csv.DictReader(file)] == [row["value"] for row in table]
    card = (folder / "README.md").read_text()
    assert "| model | ks-kajongg | sid-kajongg | overall |" in card
    assert "| iteration2 | 62.50 % [10.00, 90.00] | 50.00 % [10.00, 90.00] * | 56.2 |" in card
    assert f"- *: {HEARD} (iteration1 on sid-kajongg, iteration2 on sid-kajongg)" in card
    assert (
        "Of the layers 0 to 2 of iteration2, weighted by their shares, content (ks-kajongg) is centred on 1.8" in card
    )
    assert "partial suite: 2 of 15 tasks" in card


@pytest.mark.slow
def test_a_version_that_was_taken_from_the_registry_is_the_model_that_was_registered(built: BuiltStore) -> None:
    """Aliases move: what was called `mine` at its evaluation stands in one row with the model itself."""
    store, (_, model) = built.store, built.models
    source = ModelVersion(type="registry", model="WavLM-tiny", version="7", sha256="0" * 64)
    taken = ImportedModel(ModelSpec(source=source, network=model.network), "mine")
    origin = RegisteredOrigin(model="WavLM-tiny", version="7", key=model.key)
    facts = ModelFacts(
        layout="hf", content="", sha256="", parameters=1, num_layers=1, width=1, has_head=True, num_clusters=2,
        registered=origin,
    )  # fmt: skip
    store.make(taken, lambda _: facts)
    one = evaluations_of(model, built.recipe.model_copy(update={"evaluate": two_tasks()}))[0]
    for needed in build_order(one.shards):
        store.make(needed, lambda out, item=needed: build(item, store, out))
    for subject, value in ((model, 0.25), (taken, 0.75)):
        item = replace(one, subject=subject)
        store.make(item, lambda out, item=item, value=value: write_results(item, out, {item.spec.name: value}))
    rows = read_stored_results(store)
    assert {(row.subject, row.facts.subject) for row in rows} == {(model.key, "WavLM-tiny:7")}
    assert sorted(row.facts.figures[0].value for row in rows) == [0.25, 0.75]


@pytest.mark.slow
def test_results_are_added_to_a_version_that_is_there(built: BuiltStore) -> None:
    store, (_, model) = built.store, built.models
    register_model(Registration(built.recipe.registry_name, model), store, built.recipe)
    (version,) = show_model(store, "WavLM-tiny").versions
    assert not any(name.startswith("demo/") for name in version.metrics)
    weights = version.tags["sha256.native/model.safetensors"]
    source = ModelVersion(type="registry", model="WavLM-tiny", version="1", sha256=weights)
    recipe = built.recipe.model_copy(
        update={
            "iterations": (),
            "speech": (),
            "evaluate": two_tasks(),
            "models": {"mine": ModelSpec(source=source, network=model.network)},
        }
    )
    for values in (
        VALUES,
        {"ks-kajongg": 0.75, "sid-kajongg": 0.5},
    ):  # the second is what an evaluation made anew found
        for artifact in plan(recipe):
            if isinstance(artifact, Evaluation) and store.is_complete(artifact):
                store.redo(artifact)
        make_evaluations(recipe, store, values)
        (found,) = add_results(recipe, store)
        assert found.version == 1
        (version,) = show_model(store, "WavLM-tiny").versions
        assert version.metrics["demo/ks-kajongg/accuracy"] == values["ks-kajongg"]
    run = connect(store).client.get_run(version.run_id)
    assert [item.path for item in connect(store).client.list_artifacts(run.info.run_id, "evaluations/demo")] == [
        f"evaluations/demo/{name}" for name in ("layers.csv", "layers.png", "results.csv", "results.parquet")
    ]
    kept = store.root / "registry/artifacts" / version.run_id / "artifacts"
    card, page = (kept / MODEL_FOLDER / "README.md").read_text(), (kept / "report.html").read_text()
    assert card.count("| mine | 75.00 % [10.00, 90.00] | 50.00 % [10.00, 90.00] * | 62.5 |") == 1
    assert "62.50 %" not in card, "older results are replaced"
    assert "## Use" in card
    assert page.count("<td>mine</td><td>75.00 % [10.00, 90.00]</td>") == 1
    assert page.count('<img src="data:image/png;base64,') == 1


@pytest.mark.full
def test_results_of_a_recipe_that_gains_a_suite_reach_the_versions_that_it_has(
    built: BuiltStore, caplog: pytest.LogCaptureFixture
) -> None:
    store, name = built.store, built.recipe.registry_name
    for model in built.models:
        register_model(Registration(name, model), store, built.recipe)
    recipe = built.recipe.model_copy(update={"evaluate": two_tasks()})
    assert find_unpublished(plan(recipe), recipe, store) == []  # nothing is evaluated yet
    make_evaluations(recipe, store)
    assert len(find_unpublished(plan(recipe), recipe, store)) == 2
    before = {item.version: item.aliases for item in show_model(store, name).versions}
    database = store.root / "registry/mlflow.db"
    database.rename(database.with_name("away"))
    database.write_bytes(b"no database" * 1000)
    publish_late_or_warn(recipe, "my.yaml", store)
    assert "REGISTRY_DOWN" in caplog.text
    assert "`wavlm sync my.yaml` adds them" in caplog.text
    assert len(find_unpublished(plan(recipe), recipe, store)) == 2
    database.with_name("away").replace(database)
    assert list(publish_late(recipe, store)) == ["WavLM-tiny:1", "WavLM-tiny:2"]
    newest, oldest = show_model(store, name).versions
    assert {item.version: item.aliases for item in (newest, oldest)} == before
    assert [item.metrics["demo/ks-kajongg/accuracy"] for item in (newest, oldest)] == [0.625, 0.25]
    kept = store.root / "registry/artifacts" / newest.run_id / "artifacts"
    assert "| iteration2 | 62.50 % [10.00, 90.00] |" in (kept / MODEL_FOLDER / "README.md").read_text()
    assert "62.50 %" in (kept / "report.html").read_text()
    assert (kept / "evaluations/demo/results.csv").is_file()
    assert list(publish_late(recipe, store)) == []


@pytest.mark.full
def test_a_registered_version_is_evaluated_by_its_name(built: BuiltStore, tmp_path: Path) -> None:
    register_model(Registration(built.recipe.registry_name, built.models[1]), built.store, built.recipe)
    suite = write_tones(tmp_path / "suite", {"heard": "tones"})
    words = ("evaluate", "WavLM-tiny@champion", str(suite), "--store", str(built.store.root), "--workers", "1")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=Path(__file__).parents[2],
        env={**kept, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "added to WavLM-tiny:1 in the registry" in done.stdout
    (version,) = show_model(built.store, "WavLM-tiny").versions
    (found,) = built.store.root.glob("evaluation/heard-wavlm-tiny*/results.json")
    value = json.loads(found.read_text())["figures"][0]["value"]
    assert version.metrics["tones/heard/accuracy"] == value


@pytest.mark.slow
def test_the_gate_compares_a_task_in_pairs_of_test_examples(make_store: MakeStore) -> None:
    built = make_store(None)
    gate = GateSpec(metric="demo/ks-kajongg/accuracy")
    recipe = Recipe.model_validate({**dict(built.recipe), "gate": gate, "evaluate": two_tasks()})
    make_evaluations(recipe, built.store)
    for model in models(plan(recipe)):
        register_model(Registration(recipe.registry_name, model), built.store, recipe)
    newest, oldest = show_model(built.store, recipe.registry_name).versions
    assert oldest.tags["wavlm.gate"].startswith("champion until") or "first champion" in oldest.tags["wavlm.gate"]
    assert "champion" in newest.aliases
    assert newest.tags["wavlm.gate"].startswith(
        "better: demo/ks-kajongg/accuracy 0.6250 against 0.2500 of WavLM-tiny:1 on the same 40 utterances: gain +0.3750"
    )


def test_a_gate_of_a_task_that_the_suite_does_not_have_is_refused(built: BuiltStore) -> None:
    gate = GateSpec(metric="demo/er-none/accuracy")
    with pytest.raises(ValueError, match="there is demo/ks-kajongg/"):
        Recipe.model_validate({**dict(built.recipe), "gate": gate, "evaluate": two_tasks()})
    with pytest.raises(ValueError, match="there is no suite"):
        Recipe.model_validate({**dict(built.recipe), "gate": gate})


def test_the_page_of_an_iteration_shows_its_suite(evaluated: tuple[Recipe, Store, Model], tmp_path: Path) -> None:
    recipe, store, model = evaluated
    assert len(evaluations_of(model, recipe)) == 6
    page = write_report(gather_report(model, recipe, store), tmp_path).read_text()
    assert "62.50 % [10.00, 90.00]" in page
    assert "content (ks-kajongg) is centred on 1.8" in page
    assert 'id="weights-' in page
    rows = [f'<tr><th scope="row">{name}</th>' for name in ("iteration1", "iteration2", "fbank", "random")]
    assert [row for row in rows if row in page] == rows  # of the iteration before, too
    before = models(plan(recipe))[0]
    assert rows[1] not in write_report(gather_report(before, recipe, store), tmp_path).read_text()
    assert f"<li>*: {HEARD} (iteration1 on sid-kajongg, iteration2 on sid-kajongg)</li>" in page
    assert "on synthetic speech" not in page


def test_the_page_keeps_synthetic_speech_apart(
    built: BuiltStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_synthetic(
        artifact: Evaluation, values: Mapping[str, float], real: Callable[..., EvaluationFacts] = facts_of
    ) -> EvaluationFacts:
        is_made = artifact.spec.name == "sid-kajongg"
        return real(artifact, values).model_copy(update={"reality": "synthetic"} if is_made else {})

    monkeypatch.setitem(write_results.__globals__, "facts_of", make_synthetic)
    recipe = built.recipe.model_copy(update={"evaluate": two_tasks()})
    make_evaluations(recipe, built.store)
    model = models(plan(recipe))[1]
    page = write_report(gather_report(model, recipe, built.store), tmp_path).read_text()
    claims, apart = page.split("Results of the suite on synthetic speech, which are no claims")
    assert "62.50 % [10.00, 90.00]" in claims
    assert "50.00 % [10.00, 90.00] *" in apart
    assert "50.00 % [10.00, 90.00] *" not in claims
