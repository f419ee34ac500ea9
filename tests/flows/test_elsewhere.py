"""Which stages go to the pool of training, and how the rest runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Crashed, Failed, Running, Scheduled

from flows import elsewhere
from flows.elsewhere import make_elsewhere, needs_gpu, without_gpus
from tests.folders import read_resolved
from tests.object_stores import folder_address
from tests.tasks.conftest import build
from wavlm.errors import ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, build_order
from wavlm.pipeline.mirror.sharing import bring_needed, give
from wavlm.pipeline.plan import plan
from wavlm.pipeline.selection import first_iteration, select
from wavlm.pipeline.store import Store

__all__ = ["folder_address"]


def test_what_runs_a_network_is_handed_over(tiny_recipe: Path, tmp_path: Path) -> None:
    artifacts = plan(read_resolved(tiny_recipe, Store(tmp_path / "store")))
    found = {(item.kind, first_iteration(item, artifacts)) for item in artifacts if needs_gpu(item)}
    # The first iteration's labels come from MFCCs, the second's from hidden states of the first model.
    of_models = {(kind, number) for kind in ("pretrain", "scores") for number in (1, 2)}
    assert found == {*of_models, ("codebook", 2), ("labels", 2)}


def test_ranks_are_checked_before_data_are_made_where_there_are_no_gpus() -> None:
    here = without_gpus(Runtime(gpus=8, workers=4))
    assert (here.gpus, here.processes, here.workers) == (0, 8, 4)
    assert without_gpus(Runtime(processes=2)).processes == 2


class Server:
    """What Prefect says about the run that was started, look after look; the last word stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *states: object) -> None:
        self.left = list(states)
        self.asked: list[object] = []
        self.cancelled = False
        monkeypatch.setattr(elsewhere, "run_deployment", self.start)
        monkeypatch.setattr(elsewhere, "_read", lambda _: self.look())
        monkeypatch.setattr(elsewhere, "_cancel", lambda _: setattr(self, "cancelled", True))
        monkeypatch.setattr(elsewhere, "LOOK_SECONDS", 0.0)

    def start(self, deployment: str, **options: object) -> object:
        self.asked.append((deployment, options))
        return SimpleNamespace(id=uuid4())

    def look(self) -> object:
        state = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(state, BaseException):
            raise state
        return state and SimpleNamespace(name="iteration 1", state=state, work_pool_name="gpu")


@pytest.fixture
def model(tiny_recipe: Path, tmp_path: Path) -> tuple[Artifact, Store]:
    store = Store(tmp_path / "store")
    return select(plan(read_resolved(tiny_recipe, store)), "pretrain")[0], store


def hand_over(model: tuple[Artifact, Store]) -> None:
    artifact, store = model
    make_elsewhere(artifact, "stage/tiny.training", store, "tiny.yaml", 1, Runtime(gpus=1))


def test_a_failed_run_elsewhere_is_an_error_with_its_message(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch, Running(), None, Failed(message="DISK_FULL: no space"))
    with pytest.raises(ServiceMissingError, match=r"STAGE_ELSEWHERE: .*: Failed: DISK_FULL: no space; at the run "):
        hand_over(model)
    ((deployment, options),) = server.asked
    assert deployment == "stage/tiny.training"
    assert options["parameters"]["runtime"]["gpus"] == 1
    assert not server.cancelled


def test_a_run_that_ends_without_the_artifact_is_no_success(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    Server(monkeypatch, Completed())
    with pytest.raises(ServiceMissingError, match="STAGE_ELSEWHERE"):
        hand_over(model)


def test_a_run_that_is_taken_for_lost_has_time_to_answer(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Crashed(message="LOST: no heartbeat")
    server = Server(monkeypatch, lost, lost, Running(), lost, Running(), Failed(message="later"))
    with pytest.raises(ServiceMissingError, match="Failed: later"):
        hand_over(model)
    assert len(server.asked) == 1


def test_a_lost_run_is_followed_by_others_until_that_is_no_use(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "ANSWER_SECONDS", 0.0)
    server = Server(monkeypatch, Crashed(message="LOST: no heartbeat"))
    with pytest.raises(ServiceMissingError, match="Crashed: LOST"):
        hand_over(model)
    assert len(server.asked) == elsewhere.ATTEMPTS


def test_a_server_that_is_away_is_not_the_end_if_the_store_has_the_artifact(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, store = model
    looks = iter([False, False, True, True])
    monkeypatch.setattr(Store, "is_complete", lambda *_: next(looks))
    Server(monkeypatch, None)
    hand_over((artifact, store))


def test_the_run_elsewhere_ends_with_the_one_that_waits_for_it(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch, Running(), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        hand_over(model)
    assert server.cancelled


def test_a_server_that_does_not_answer_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> object:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(elsewhere, "open_prefect", refuse)
    assert elsewhere._read(uuid4()) is None
    elsewhere._cancel(uuid4())


def test_a_run_that_is_deleted_in_prefect_has_ended(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = elsewhere._read
    Server(monkeypatch, Running())
    monkeypatch.setattr(elsewhere, "_read", read)

    @contextmanager
    def client(**_: object) -> Iterator[object]:
        def read_flow_run(_: object) -> object:
            raise ObjectNotFound(ValueError("404"))

        yield SimpleNamespace(read_flow_run=read_flow_run)

    monkeypatch.setattr(elsewhere, "open_prefect", client)
    with pytest.raises(ServiceMissingError, match="its run was deleted in Prefect; at the run "):
        hand_over(model)


def test_who_waits_for_a_worker_says_for_which(
    model: tuple[Artifact, Store], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(elsewhere, "LATE_SECONDS", -1.0)
    Server(monkeypatch, Scheduled(), Scheduled(), Running(), Failed(message="later"))
    with pytest.raises(ServiceMissingError, match="Failed: later"):
        hand_over(model)
    assert sum("waiting for a worker in pool gpu" in line for line in caplog.messages) == 1


def test_where_no_disk_is_shared_the_mirror_carries_what_is_handed_over(
    model: tuple[Artifact, Store], folder_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, store = model
    runtime = Runtime(gpus=1, mirror=folder_address)

    def make(item: Artifact, where: Store) -> None:
        where.make(item, lambda out: build(item, where, out))

    def train_on_another_disk(*_: object, **__: object) -> object:
        other = Store(tmp_path / "other")
        bring_needed([artifact], other, runtime)
        make(artifact, other)  # which needs its labels there
        give(artifact, other, runtime)
        return SimpleNamespace(id=uuid4())

    for item in [*build_order([artifact])][:-1]:
        make(item, store)
    Server(monkeypatch, Completed())
    monkeypatch.setattr(elsewhere, "run_deployment", train_on_another_disk)
    make_elsewhere(artifact, "stage/tiny.training", store, "tiny.yaml", 1, runtime)
    assert store.is_complete(artifact)
