"""Registration on a real MLflow: complete, once, gated, and never in the way."""

from __future__ import annotations

import hashlib
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.register import register, register_model, sync
from tasks.registry.compare import compare
from tasks.registry.connection import connect
from tasks.registry.gate import comparable_tags
from tasks.registry.lookup import list_models, list_versions, promote, pull_model, show_model
from tasks.registry.provenance import git_commit
from tasks.registry.versions import with_metrics
from tests.tasks.conftest import VALID_LOSS, build
from wavlm.errors import BadDataError, ServiceMissingError, UsageError
from wavlm.evaluation.facts import ScoresFacts
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Registration
from wavlm.pipeline.plan import models, plan, scores_of
from wavlm.pipeline.selection import select_needed
from wavlm.pipeline.summary import summarise
from wavlm.specs import GateSpec, HttpsSource, ScoresSpec
from wavlm.storage.files import read_json

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

# Prefect may be asked to follow our loggers; outside a flow it complains.
pytestmark = pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")

MakeStore = Callable[[GateSpec | None], "BuiltStore"]
NAME = "WavLM-tiny"


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port


def history(built: BuiltStore, run_id: str, name: str) -> list[tuple[int, float, int]]:
    found = connect(built.store).client.get_metric_history(run_id, name)
    return sorted((metric.step, metric.value, metric.timestamp) for metric in found)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_every_iteration_becomes_a_version_with_its_lineage_curve_data_and_files(
    built: BuiltStore, tmp_path: Path
) -> None:
    sync(built.recipe, built.store)

    first, second = built.models
    newest, oldest = show_model(built.store, NAME).versions
    folder = built.store.root / "registry" / "artifacts" / newest.run_id / "artifacts"
    files = folder / "hf"
    assert (oldest.version, newest.version) == (1, 2)
    assert newest.aliases == ("candidate", "champion", "iteration-2")
    assert oldest.aliases == ("iteration-1",)
    assert newest.tags == {
        **comparable_tags(second, built.recipe),
        "measured.probe/pnmi": "0.45",
        "measured.probe/abx_within": "0.125",
        "measured.valid/loss": "2.0",
        "measured.valid/masked_accuracy": str(0.6 - 2.0 / 10),
        "wavlm.gate": "the first champion: the next have to beat valid/loss 2.0000",
        "wavlm.key": second.key,
        "wavlm.iteration": "2",
        "wavlm.recipe": "tiny",
        "wavlm.corpora": "voice",
        "wavlm.codebook": f"layer2-k50-{second.labels[0].codebook.key}",
        "wavlm.commit": git_commit(),
        "codebook": second.labels[0].codebook.key,
        "teacher.key": first.key,
        "teacher.version": "1",
        "sha256.lineage.json": digest_of(files / "lineage.json"),
        **{
            f"sha256.native/{name}": digest_of(built.store.path(second) / name)
            for name in ("model.safetensors", "network.json")
        },
    }
    lineage = read_json(files / "lineage.json")
    assert lineage["keys"] == {
        "corpus.voice": second.labels[0].shards.corpus.key,
        "corpus.bangs": second.noise[0].corpus.key,
        "shards.voice": second.labels[0].shards.key,
        "shards.bangs": second.noise[0].key,
        "codebook": second.labels[0].codebook.key,
        "labels.voice": second.labels[0].key,
        "mixtures": second.mixtures.key if second.mixtures else "",
        "teacher.key": first.key,
    }
    assert [item["key"] for item in lineage["artifacts"]][-1] == second.key
    assert lineage["files"] == {
        str(path.relative_to(files)): digest_of(path)
        for path in files.rglob("*")
        if path.is_file() and path.name not in ("MLmodel", "lineage.json", "metrics.jsonl")
    }
    assert newest.metrics["labels/pnmi"] == 0.42
    assert newest.metrics["probe/pnmi"] == 0.45
    assert newest.metrics["valid/loss"] == 2.0
    assert history(built, newest.run_id, "valid/loss") == [
        (10, 3.5, 1_700_000_010_000),
        (20, 2.4, 1_700_000_020_000),
        (30, 2.0, 1_700_000_030_000),
    ]
    run = connect(built.store).client.get_run(newest.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["network.width"] == str(second.network.width)
    assert run.data.params["codebook.features.layer"] == "2"
    assert {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs} == {
        ("voice", second.labels[0].shards.key),
        ("bangs", second.noise[0].key),
    }
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "gate.json",
        "hf/MLmodel",
        "hf/README.md",
        "hf/config.json",
        "hf/lineage.json",
        "hf/model.safetensors",
        "hf/native/metrics.jsonl",
        "hf/native/model.safetensors",
        "hf/native/network.json",
        "hf/preprocessor_config.json",
        "hf/pretraining_head.safetensors",
        "plots/curves.png",
        "plots/label_quality.png",
        "plots/layers.png",
        "plots/mixture1.png",
        "report.html",
    ]


@pytest.mark.slow
def test_the_token_of_a_download_reaches_neither_records_nor_registry(built: BuiltStore) -> None:
    sync(built.recipe, built.store)
    urls = [source.urls for item in built.recipe.noise for source in item.sources if isinstance(source, HttpsSource)]
    assert "canary-token" in str(urls)
    files = [path for path in built.store.root.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in files)
    assert [path for path in files if b"canary-" in path.read_bytes()] == []


def test_a_second_sync_changes_nothing(built: BuiltStore) -> None:
    assert len(sync(built.recipe, built.store)) == 2
    before = show_model(built.store, NAME)

    assert sync(built.recipe, built.store) == ()

    assert show_model(built.store, NAME) == before


@pytest.mark.slow
def test_a_registration_that_was_cut_short_is_continued_and_not_repeated(built: BuiltStore) -> None:
    registration = built.registrations[0]
    register_model(registration, built.store, built.recipe)
    before = show_model(built.store, NAME)
    # As if it had been killed after everything was in the registry, before the store was sealed; an upload was cut.
    shutil.rmtree(built.store.path(registration))
    (weights,) = built.store.root.rglob("artifacts/hf/model.safetensors")
    cut = weights.with_name(".artifact.uploading.abcdefgh")
    cut.write_bytes(weights.read_bytes()[:1000])

    register_model(registration, built.store, built.recipe)

    assert show_model(built.store, NAME) == before
    assert len(history(built, before.versions[0].run_id, "train/loss")) == 3
    assert weights.exists()
    assert not cut.exists()


@pytest.mark.slow
def test_figures_that_a_registry_takes_and_loses_are_registered_once_it_keeps_them(
    built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = built.registrations[0]
    with monkeypatch.context() as lying:
        lying.setattr("mlflow.MlflowClient.log_batch", lambda *_, **__: None)
        with pytest.raises(ServiceMissingError, match=r"REGISTRY_DOWN: MLflow took (\d+) of \1 figures"):
            register_model(registration, built.store, built.recipe)
    assert not built.store.is_complete(registration)

    register_model(registration, built.store, built.recipe)

    (version,) = show_model(built.store, NAME).versions
    assert len(history(built, version.run_id, "train/loss")) == 3


@pytest.mark.slow
def test_a_second_name_gets_the_same_models_beside_what_others_registered(built: BuiltStore, tmp_path: Path) -> None:
    sync(built.recipe, built.store)
    client = connect(built.store).client
    client.create_registered_model("other")
    client.create_model_version("other", str(tmp_path))
    # The name of a mix is words for people: the models are the same, and so are their runs.
    iterations = tuple(
        item.model_copy(update={"mix": item.mix.model_copy(update={"name": "renamed"})})
        for item in built.recipe.iterations
        if item.mix
    )
    changes = {"registry_name": "other", "iterations": iterations}
    recipe = built.recipe.model_copy(update=changes)

    assert len(sync(recipe, built.store)) == 2

    third, second, foreign = show_model(built.store, "other").versions
    assert (foreign.key, second.key, third.key) == ("", *(model.key for model in built.models))
    assert "teacher.version" not in second.tags
    assert third.tags["teacher.version"] == "2"
    with pytest.raises(BadDataError, match=r"VERSION_FOREIGN: other:1 has no digest of native/model\.safetensors"):
        pull_model(built.store, "other:1", tmp_path / "foreign")


@pytest.mark.slow
def test_a_model_is_registered_once_its_scores_are_there(built: BuiltStore, caplog: pytest.LogCaptureFixture) -> None:
    """A version is judged once: without its own PNMI it would never be compared by it."""
    scores = scores_of(built.models[1], built.recipe)
    assert scores is not None
    shutil.rmtree(built.store.path(scores))
    assert len(sync(built.recipe, built.store)) == 1
    assert f"{scores} is not there" in caplog.text
    with pytest.raises(BadDataError, match="INPUT_MISSING: scores/"):
        register_model(built.registrations[1], built.store, built.recipe)

    built.store.make(scores, lambda out: build(scores, built.store, out))
    assert len(sync(built.recipe, built.store)) == 1
    assert show_model(built.store, f"{NAME}:2").versions[0].metrics["probe/pnmi"] == 0.45


def test_what_a_registration_needs_has_the_scores(built: BuiltStore) -> None:
    needed = [item.kind for item in select_needed(plan(built.recipe), "register")]
    assert needed.count("scores") == 2
    assert needed.index("scores") < needed.index("register")
    assert "scores" not in [
        item.kind for item in select_needed(plan(built.recipe.model_copy(update={"probe": None})), "register")
    ]


@pytest.mark.slow
def test_a_training_that_was_done_again_is_judged_by_its_own_figures(
    built: BuiltStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(built.recipe, built.store)
    second = built.models[1]
    monkeypatch.setitem(VALID_LOSS, 2, (3.5, 3.2, 2.9))
    built.store.redo(second)
    for artifact in plan(built.recipe):
        if not isinstance(artifact, Registration) and not built.store.is_complete(artifact):
            built.store.make(artifact, lambda out, item=artifact: build(item, built.store, out))
    register_model(built.registrations[1], built.store, built.recipe)

    (version,) = show_model(built.store, f"{NAME}:2").versions
    assert version.metrics["valid/loss"] == 2.9
    assert version.tags["measured.valid/loss"] == "2.9"
    registry = connect(built.store)
    run = registry.client.get_run(version.run_id)
    assert run.data.metrics["valid/loss"] == 2.9

    # Builds of a few weeks wrote no figures as tags: people are shown those of the run, the gate uses none of them.
    for tag in filter(lambda name: name.startswith("measured."), version.tags):
        registry.client.delete_model_version_tag(NAME, "2", tag)
    (version,) = show_model(built.store, f"{NAME}:2").versions
    assert version.metrics["valid/loss"] == 2.9
    assert [item.metrics["valid/loss"] for item in list_versions(built.store, NAME)] == [2.5, 2.9]
    assert compare(built.store, f"{NAME}:1", f"{NAME}:2").second.metrics["valid/loss"] == 2.9
    assert "valid/loss" not in with_metrics(registry, version).metrics


@pytest.mark.slow
def test_names_that_share_runs_have_their_own_figures_and_other_log_intervals(built: BuiltStore) -> None:
    sync(built.recipe, built.store)
    iterations = tuple(
        item.model_copy(update={"train": item.train.model_copy(update={"log_every": 7, "valid_every": 9})})
        for item in built.recipe.iterations
    )
    changes = {"registry_name": "other", "iterations": iterations, "probe": ScoresSpec(num_clusters=20)}
    recipe = built.recipe.model_copy(update=changes)
    assert [item.key for item in models(plan(recipe))] == [item.key for item in built.models]
    for model in built.models:
        scores = scores_of(model, recipe)
        assert scores is not None
        facts = build(scores, built.store, built.store.root)
        assert isinstance(facts, ScoresFacts)
        lower = facts.model_copy(update={"scores": facts.scores[:2], "best_layer": 1, "best_pnmi": 0.35})
        built.store.make(scores, lambda _, lower=lower: lower)

    assert len(sync(recipe, built.store)) == 2

    figures = [show_model(built.store, f"{name}:2").versions[0].metrics["probe/pnmi"] for name in (NAME, "other")]
    assert figures == [0.45, 0.35]


@pytest.mark.full
def test_the_pipeline_goes_on_without_a_registry_and_sync_registers_later(
    built: BuiltStore, closed_port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:secret@127.0.0.1:{closed_port}")
    started = time.monotonic()
    assert register.fn(built.registrations[0], built.store, built.recipe, Runtime()) is None
    assert time.monotonic() - started < 60  # MLflow's own retries would hold it up for minutes
    assert "wavlm sync" in caplog.text
    assert "secret" not in caplog.text
    with pytest.raises(ServiceMissingError, match="REGISTRY_DOWN"):
        sync(built.recipe, built.store)
    assert not built.store.is_complete(built.registrations[0])

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    folders = sync(built.recipe, built.store)

    assert [read_json(folder / "registration.json")["version"] for folder in folders] == [1, 2]


@pytest.mark.slow
def test_the_summary_has_numbers_plots_and_advice_with_and_without_a_registry(
    built: BuiltStore, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    for registration in built.registrations:
        register.fn(registration, built.store, built.recipe, Runtime())
    before = summarise(plan(built.recipe), built.store)
    assert before.versions == ()
    assert [plot.name for plot in before.plots].count("curves.png") == 2
    assert all(plot.is_file() for plot in before.plots)
    assert before.advice == ("wavlm sync RECIPE  # registers what the registry missed",)
    assert before.missing == tuple(str(item) for item in built.registrations)
    (voice, bangs) = before.corpora
    assert (voice.name, voice.role, voice.facts.hours, voice.facts.utterances) == ("voice", "speech", 1.5, 900)
    assert (bangs.role, bangs.facts.rejected) == ("noise", {"too_short": 2})
    assert any("its labels carry more phone information" in line for line in before.findings)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    sync(built.recipe, built.store)
    after = summarise(plan(built.recipe), built.store)

    assert after.missing == ()
    assert [(item.version, item.aliases) for item in after.versions] == [
        (1, ("iteration-1",)),
        (2, ("candidate", "champion", "iteration-2")),
    ]
    assert [plot.name for plot in after.plots] == [plot.name for plot in before.plots]
    assert after.findings == before.findings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "champion"),
    [
        (GateSpec(metric="valid/loss", higher_is_better=False), 2),
        (None, 1),  # both have the same PNMI of their own, and the second one has better labels
    ],
)
def test_champion_moves_only_to_a_version_that_passes_the_gate(
    make_store: MakeStore, gate: GateSpec | None, champion: int
) -> None:
    built = make_store(gate)
    sync(built.recipe, built.store)
    (version,) = show_model(built.store, f"{NAME}@champion").versions
    assert version.version == champion
    (candidate,) = show_model(built.store, f"{NAME}@candidate").versions
    assert candidate.version == 2


@pytest.mark.slow
def test_a_champion_that_was_beaten_says_until_when_it_was_one(built: BuiltStore) -> None:
    register_model(built.registrations[0], built.store, built.recipe)
    promote(built.store, f"{NAME}:1", "champion")
    # As if the first had been measured on the same labels, and was worse.
    (first,) = show_model(built.store, f"{NAME}:1").versions
    same = comparable_tags(built.models[1], built.recipe)["comparable.valid"]
    connect(built.store).client.set_model_version_tag(first.name, "1", "comparable.valid", same)
    register_model(built.registrations[1], built.store, built.recipe)
    newest, oldest = show_model(built.store, NAME).versions
    assert newest.tags["wavlm.gate"].startswith("better: valid/loss 2.0000 against 2.5000")
    assert oldest.tags["wavlm.gate"] == f"champion until {NAME}:2"


@pytest.mark.slow
def test_a_pulled_model_is_the_registered_one_and_a_tampered_one_is_refused(built: BuiltStore, tmp_path: Path) -> None:
    sync(built.recipe, built.store)
    out = pull_model(built.store, f"{NAME}:1", tmp_path / "pulled")
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "network.json"]
    original = built.store.path(built.models[0]) / "model.safetensors"
    assert (out / "model.safetensors").read_bytes() == original.read_bytes()
    with pytest.raises(UsageError, match="OUT_EXISTS"):
        pull_model(built.store, f"{NAME}:1", out)

    (oldest,) = show_model(built.store, f"{NAME}:1").versions
    there = Path(oldest.source) / "native" / "model.safetensors"
    tampered = bytearray(there.read_bytes())
    tampered[-1] ^= 1
    there.write_bytes(tampered)

    with pytest.raises(BadDataError, match=r"MODEL_TAMPERED: model\.safetensors of WavLM-tiny:1"):
        pull_model(built.store, f"{NAME}:1", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".again*"))


@pytest.mark.slow
def test_promote_moves_an_alias_and_bad_references_say_what_there_is(built: BuiltStore) -> None:
    sync(built.recipe, built.store)
    assert promote(built.store, f"{NAME}:1", "champion").aliases == ("champion", "iteration-1")
    (model,) = list_models(built.store)
    assert [item.aliases for item in model.versions] == [
        ("candidate", "iteration-2"),
        ("champion", "iteration-1"),
    ]
    with pytest.raises(UsageError, match=r"VERSION_UNKNOWN.*there is: 2 \(candidate, iteration-2\)"):
        promote(built.store, f"{NAME}:7", "champion")
    with pytest.raises(UsageError, match=r"MODEL_UNKNOWN.*there is: WavLM-tiny"):
        show_model(built.store, "WavLM-huge")
    with pytest.raises(UsageError, match="REFERENCE_BAD"):
        show_model(built.store, ":1")
    with pytest.raises(UsageError, match="ALIAS_BAD"):
        promote(built.store, f"{NAME}:1", "v2")
