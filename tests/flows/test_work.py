"""What a platform engineer sees of a run in Prefect: its name, state, logs and artifacts. With a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.flow_engine import run_flow
from prefect.logging.handlers import APILogWorker

from flows.evaluate import evaluate
from flows.prepare import prepare
from flows.pretrain import pretrain
from flows.stage import stage
from tasks.corpus import corpus
from tasks.shards import shards
from tests.field.test_x_overlap import end, other_run
from tests.flows.tones import write_tones
from tests.folders import read_resolved, write_project
from tests.tasks.conftest import CORPUS
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.corpus import build as corpus_build
from wavlm.corpus import contents
from wavlm.corpus.download.redirects import InterruptedTransferError
from wavlm.errors import EXIT_USAGE, BadDataError, CodedError, UsageError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.aside import LeftOutError
from wavlm.pipeline.check import NotReadyError
from wavlm.pipeline.plan import plan
from wavlm.pipeline.request import write_request
from wavlm.pipeline.store import Store
from wavlm.specs.yaml import find_suite
from wavlm.storage.facts import Facts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]
RUNTIME = Runtime(workers=0)


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_project(tmp_path)


def start(client: SyncPrefectClient, flow: Any, name: str | None = None, **parameters: Any) -> FlowRun:
    """Run a flow as a worker does, by a run that the server has; returns how it ended there."""
    created = client.create_flow_run(flow, name=name, parameters=parameters)
    run_flow(flow, flow_run=created, parameters=parameters, return_type="state")
    APILogWorker.drain_all(timeout=int(LIMIT_SECONDS))
    return client.read_flow_run(created.id)


def logs(client: SyncPrefectClient, run: UUID) -> list[str]:
    found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
    return [log.message for log in found]


def artifacts(client: SyncPrefectClient, run: UUID) -> dict[str, Any]:
    """Key -> data."""
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    return {item.key or "": item.data for item in client.read_artifacts(artifact_filter=chosen)}


def test_a_run_says_what_it_makes_what_came_out_and_what_was_there(
    client: SyncPrefectClient, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    walk = contents.walk
    monkeypatch.setattr(contents, "walk", lambda folder: looks.append(folder) or walk(folder))
    parameters = {"recipe": str(recipe), "store": str(tmp_path / "store"), "runtime": RUNTIME}
    first = start(client, prepare, **parameters)
    assert first.name == "prepare small"
    assert first.state is not None
    assert first.state.is_completed()
    assert first.state.message == "made 2 of 2 artifacts, 0 were there"
    assert len(looks) == 3  # to check, to hash what is new, and to make the corpus of what is there then
    said = logs(client, first.id)
    assert any(line.startswith("corpus voices: 6 recordings of 3 speakers, 3.0 s; ") for line in said), said
    assert any(
        line.startswith("shards voices: 2.5 s train, 0.5 s valid, 6 utterances") and "rejected: none" in line
        for line in said
    ), said
    shown = artifacts(client, first.id)
    assert shown["small-progress-shards-voices"] == 100
    assert "| made | shards voices<br>" in shown["small-work"]

    second = start(client, prepare, **parameters)
    assert second.name == "prepare small (nothing to do)"
    assert second.state is not None
    assert second.state.message == "nothing to do: all 2 artifacts were there"
    again = artifacts(client, second.id)
    assert "| reused | shards voices<br>" in again["small-work"]
    # The same keys: Prefect shows the second as a version of the first.
    assert set(again) == {key for key in shown if "progress" not in key}

    named = start(client, prepare, "for the Tuesday demo", **parameters)
    assert named.name == "for the Tuesday demo"


def test_a_stage_is_named_by_kind_iteration_corpus_and_redo(
    client: SyncPrefectClient, recipe: Path, tmp_path: Path
) -> None:
    parameters = {"recipe": str(recipe), "store": str(tmp_path / "store"), "runtime": RUNTIME}
    run = start(client, stage, kind="corpus", corpus="voices", redo=True, **parameters)
    assert run.name == "corpus small, corpus voices, redo"
    (task,) = (item for item in client.read_task_runs() if item.flow_run_id == run.id and "folders" not in item.name)
    (wanted,) = (item for item in plan(read_resolved(recipe, Store(tmp_path / "store"))) if isinstance(item, Corpus))
    assert task.name == f"corpus voices ({wanted.key})"
    labels = start(client, stage, kind="labels", iteration=1, **parameters)
    assert labels.name == "labels small, iteration 1"
    assert labels.state is not None
    assert labels.state.is_failed()


def test_a_run_that_waits_is_seen_to_wait(client: SyncPrefectClient, recipe: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    wanted = next(item for item in plan(read_resolved(recipe, store)) if isinstance(item, Shards))
    corpus.fn(wanted.corpus, store, RUNTIME)
    created = client.create_flow_run(prepare)
    seen: list[str] = []

    def tell(other: Any) -> None:
        with get_client(sync_client=True) as watcher:
            wait_until(lambda: state_of(watcher, created.id).name == "Waiting")
            seen.append(state_of(watcher, created.id).message or "")
        end(other)

    with other_run(store, wanted) as other:
        watcher = threading.Thread(target=tell, args=(other,))
        watcher.start()
        parameters = {"recipe": str(recipe), "store": str(store.root), "runtime": RUNTIME}
        run_flow(prepare, flow_run=created, parameters=parameters)
        watcher.join()
    APILogWorker.drain_all(timeout=int(LIMIT_SECONDS))
    assert f"{wanted} is being made by process {other.pid} on " in seen[0]
    assert state_of(client, created.id).name == "Completed"
    assert any(
        line.startswith("shards voices (made by another run meanwhile, and used): ")
        for line in logs(client, created.id)
    )
    assert "| made by another run | shards voices<br>" in artifacts(client, created.id)["small-work"]


def state_of(client: SyncPrefectClient, run: UUID) -> Any:
    return client.read_flow_run(run).state


def attempts_at_corpus(
    monkeypatch: pytest.MonkeyPatch, store: Store, wanted: Corpus, errors: list[CodedError]
) -> Callable[[], int]:
    """Let the corpus fail with these errors, one after the other, before it succeeds; runs it, and counts."""
    left = list(errors)

    def fail_then_build(*_: object) -> Facts:
        if left:
            raise left.pop(0)
        return CORPUS

    monkeypatch.setattr(corpus_build, "build_corpus", fail_then_build)

    @flow
    def once() -> None:
        corpus.with_options(retry_delay_seconds=0, retry_jitter_factor=None)(wanted, store, RUNTIME)

    def count() -> int:
        state = once(return_state=True)
        if errors[0].is_transient:
            state.result()
        else:
            with pytest.raises(type(errors[0])):
                state.result()
        return len(errors) - len(left) + int(not left and errors[0].is_transient)

    return count


def test_a_mirror_that_fails_twice_costs_two_attempts(
    monkeypatch: pytest.MonkeyPatch, recipe: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    wanted = next(item for item in plan(read_resolved(recipe, store)) if isinstance(item, Corpus))
    failures: list[CodedError] = [InterruptedTransferError("DL_HTTP", "status 503")] * 2
    assert attempts_at_corpus(monkeypatch, store, wanted, failures)() == 3
    assert store.is_complete(wanted)


def test_bad_recordings_are_refused_at_the_first_attempt(
    client: SyncPrefectClient, recipe: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    for path in (tmp_path / "wavs").rglob("*.flac"):
        path.write_bytes(path.read_bytes()[:200])
    wanted = next(item for item in plan(read_resolved(recipe, store)) if isinstance(item, Shards))
    corpus.fn(wanted.corpus, store, RUNTIME)

    @flow
    def once() -> None:
        shards(wanted, store, RUNTIME)

    with pytest.raises(BadDataError):
        once()

    def read_newest() -> TaskRun:
        return max(client.read_task_runs(), key=lambda item: item.created)

    # States of tasks reach the server as events, some time after the task.
    wait_until(lambda: (state := read_newest().state) is not None and state.is_final())
    newest = read_newest()
    assert newest.run_count == 1
    assert newest.state is not None
    assert newest.state.is_failed()


@pytest.mark.parametrize("form", [prepare, pretrain, stage, evaluate], ids=lambda item: item.name)
def test_each_field_of_a_form_is_described(form: Any) -> None:
    schema = form.parameters.model_dump()
    fields = schema["properties"] | schema["definitions"]["Runtime"]["properties"]
    assert [name for name, field in fields.items() if not field.get("description")] == []
    if iteration := fields.get("iteration"):
        assert iteration["anyOf"][0] == {"minimum": 1, "type": "integer"}
    if kind := fields.get("kind"):
        assert "pretrain" in kind["enum"]


def test_a_model_that_is_named_is_scored_by_the_flow_and_by_its_stage_alone(tmp_path: Path) -> None:
    suite, store = write_tones(tmp_path, {"heard": "tones", "missing": "absent"}), str(tmp_path / "store")
    with pytest.raises(NotReadyError, match="FOLDER_MISSING"):  # and the other task is done
        evaluate("demo", model="fbank", suite=str(suite), store=store, runtime=RUNTIME)
    (found,) = (tmp_path / "store").glob("evaluation/heard-fbank-*/results.json")
    (asked,) = (tmp_path / "store").glob("evaluations/*.yaml")
    before = found.stat().st_mtime_ns
    again = stage("evaluate", str(asked), store=store, runtime=RUNTIME, redo=True)
    assert [item.name for item in again.evaluate.evaluations] == ["heard"]
    assert found.stat().st_mtime_ns > before
    with pytest.raises(UsageError, match=r"SUBJECT_UNKNOWN: the suite .* was given, and no model"):
        evaluate("demo", suite=str(suite), store=store)


def test_a_recipe_makes_all_but_the_evaluation_whose_corpus_is_missing_and_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    suite, store = write_tones(tmp_path, {"heard": "tones", "missing": "absent"}), tmp_path / "store"
    recipe = str(write_request("fbank", find_suite(suite), Store(store)))
    for _ in range(2):  # the second time there is nothing to do
        caplog.clear()
        with pytest.raises(
            LeftOutError, match=r"FOLDER_MISSING: .*absent.* \(see https://example.org/absent\)"
        ) as found:
            pretrain(recipe, store=str(store), runtime=RUNTIME)
        assert found.value.exit_code == EXIT_USAGE
        assert len(list(store.glob("evaluation/heard-fbank-*/results.json"))) == 1
        lines = [record.getMessage() for record in caplog.records]
        named = next(number for number, line in enumerate(lines) if line.startswith("left out: FOLDER_MISSING"))
        assert named < next(number for number, line in enumerate(lines) if "artifacts" in line)
    (tmp_path / "tones").rename(tmp_path / "moved")
    with pytest.raises(NotReadyError, match=r"(?s)FOLDER_MISSING.*FOLDER_MISSING") as refused:
        pretrain(recipe, store=str(tmp_path / "other"), runtime=RUNTIME)
    assert not isinstance(refused.value, LeftOutError)  # nothing of it can be made


@pytest.mark.parametrize("value", [0, -1])
def test_there_is_no_iteration_zero(value: int) -> None:
    for form, parameters in ((evaluate, {}), (stage, {"kind": "labels"})):
        with pytest.raises(Exception, match="greater than or equal to 1"):
            form.validate_parameters({"recipe": "demo", "iteration": value, **parameters})
