"""What does not depend on each other is made side by side, within limits, and failures end only what needs them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from flows import side_by_side
from flows.side_by_side import limits_of, make_side_by_side, tag_of
from flows.work import find_spare
from tests.evaluation.suites import two_tasks
from tests.tasks.conftest import recipe_of, spec_of
from tests.waiting import LIMIT_SECONDS, wait_until
from wavlm.errors import BadDataError, LockedError
from wavlm.execution.runtime import Runtime
from wavlm.execution.worker import worker_of_stage
from wavlm.pipeline.artifacts import Artifact, Model, Registration, build_order
from wavlm.pipeline.plan import evaluations_of, plan
from wavlm.specs import GateSpec, Recipe
from wavlm.specs.gate import Metric

RUNTIME = Runtime(downloads=2)


def recipe() -> Recipe:
    """Two iterations; the first one needs two of five corpora."""
    one = recipe_of(None)
    speech = tuple(spec_of(name, "speech") for name in ("aa", "bb", "cc", "dd"))
    iterations = (one.iterations[0].model_copy(update={"speech": ("aa", "bb")}), one.iterations[1])
    return one.model_copy(update={"speech": speech, "iterations": iterations})


PLAN = plan(recipe())
FIRST, SECOND = (item for item in PLAN if isinstance(item, Model))


def find(kind: str, name: str = "") -> Artifact:
    return next(item for item in PLAN if item.kind == kind and name in (item.name, ""))


@dataclass
class Workshop:
    """Makes artifacts in no time, or holds some until they are let go."""

    holds: set[str] = field(default_factory=set)
    errors: dict[str, Exception] = field(default_factory=dict)
    begun: list[Artifact] = field(default_factory=list)
    made: list[Artifact] = field(default_factory=list)
    most: dict[str, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)
    threads: set[int] = field(default_factory=set)
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, artifact: Artifact, runtime: Runtime) -> None:
        tag = tag_of(artifact)
        with self._busy:
            assert {item.key for item in build_order([artifact])} - {artifact.key} <= {item.key for item in self.made}
            self.begun.append(artifact)
            self.threads.add(threading.get_ident())
            self.now[tag] = self.now.get(tag, 0) + 1
            self.most[tag] = max(self.most.get(tag, 0), self.now[tag])
        try:
            time.sleep(0.01)
            while artifact.key in self.holds:
                time.sleep(0.01)
            if error := self.errors.get(artifact.key):
                raise error
            with self._busy:
                self.made.append(artifact)
        finally:
            with self._busy:
                self.now[tag] -= 1


def run_beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def keys(items: Sequence[Artifact]) -> set[str]:
    return {item.key for item in items}


def test_all_is_made_once_inputs_first_within_the_limits() -> None:
    workshop = Workshop()
    make_side_by_side(PLAN, workshop, RUNTIME)
    assert len(workshop.made) == len(PLAN)
    assert keys(workshop.made) == keys(PLAN)
    assert workshop.most["download"] == 2
    assert workshop.most["cores"] == workshop.most["gpu"] == 1
    assert len(workshop.threads) > 1


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        (Runtime(), {"download": 2, "cores": 1, "gpu": 1, "evaluation": 3}),
        (
            Runtime(executor="dask", cluster="tcp://x:1", downloads=7),
            {"download": 7, "cores": 4, "gpu": 1, "evaluation": 1},
        ),
        (Runtime(side_by_side=2), {"download": 2, "cores": 2, "gpu": 1, "evaluation": 2}),
        (Runtime(gpus=8, side_by_side=2), {"download": 2, "cores": 2, "gpu": 1, "evaluation": 8}),
    ],
)
def test_the_limits_follow_the_runtime(
    runtime: Runtime, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "num_cores", lambda: 3)
    assert {tag: number for tag, number in limits_of(runtime).items() if tag != "light"} == expected


def test_packing_goes_on_beside_downloads_and_the_first_iteration_beside_both() -> None:
    """While corpora of the second iteration are still downloaded, the first one is trained and registered."""
    workshop = Workshop(holds={find("corpus", "cc").key, find("corpus", "dd").key})
    thread = run_beside(lambda: make_side_by_side(PLAN, workshop, RUNTIME))
    wait_until(lambda: FIRST.key in keys(workshop.made), "the first iteration")
    assert keys([find("corpus", "cc"), find("corpus", "dd")]) <= keys(workshop.begun)
    assert SECOND.key not in keys(workshop.begun)
    workshop.holds.clear()
    thread.join(LIMIT_SECONDS)
    assert keys(workshop.made) == keys(PLAN)


def test_versions_are_registered_in_turn_after_what_judges_them() -> None:
    """The gate compares with the scores, and with the version before."""
    workshop = Workshop()
    make_side_by_side(PLAN, workshop, RUNTIME)
    order = [item.kind for item in workshop.made if item.kind in {"register", "scores"}]
    numbers = {item.key: number for number, item in enumerate(workshop.made)}
    registered = [item for item in PLAN if item.kind == "register"]
    assert order.count("register") == 2
    gpu = [item.key for item in workshop.begun if tag_of(item) == "gpu"]
    assert gpu.index(find("scores").key) == gpu.index(FIRST.key) + 1  # not behind the next training
    for before, after in pairwise(registered):
        assert numbers[before.key] < numbers[after.key]
    for registration, scores in zip(registered, (item for item in PLAN if item.kind == "scores"), strict=True):
        assert numbers[scores.key] < numbers[registration.key]


def test_after_a_failure_all_that_does_not_need_it_is_made(caplog: pytest.LogCaptureFixture) -> None:
    failed = {find("corpus", "cc").key: BadDataError("CHECKSUM", "c is damaged; at c; fetch it again")}
    failed[find("corpus", "dd").key] = BadDataError("DL_GONE", "d is gone; at d; ask")
    workshop = Workshop(errors=failed)
    with caplog.at_level(logging.INFO), pytest.raises(BadDataError, match=r"^CHECKSUM: c is damaged") as caught:
        make_side_by_side(PLAN, workshop, RUNTIME)
    assert any(note.startswith("failed, too: corpus/dd-") and "DL_GONE" in note for note in caught.value.__notes__)
    assert FIRST.key in keys(workshop.made)
    needs = {item.key for item in PLAN if keys(build_order([item])) & failed.keys()}
    assert keys(workshop.made) == keys(PLAN) - needs
    assert SECOND.key not in keys(workshop.begun)


def test_a_version_whose_scores_failed_is_not_registered_and_the_run_ends() -> None:
    """It does not need them to be made, but the gate does. Nor is one registered that is compared with it."""
    failed = find("scores")
    workshop = Workshop(errors={failed.key: BadDataError("LABELS_BAD", "no; here; see")})
    with pytest.raises(BadDataError, match="LABELS_BAD"):
        make_side_by_side(PLAN, workshop, RUNTIME)
    assert not [item for item in workshop.begun if item.kind == "register"]
    assert SECOND.key in keys(workshop.made)


@pytest.mark.parametrize("metric", ["probe/pnmi", "demo/ks-kajongg/accuracy"])
def test_a_corpus_of_evaluations_that_fails_ends_them_and_what_is_judged_by_them(metric: Metric) -> None:
    """A version is registered without results of its suite, unless the gate is to compare them."""
    judged = recipe().model_copy(update={"evaluate": two_tasks(), "gate": GateSpec(metric=metric)})
    artifacts = plan(judged)
    (corpus,) = (item for item in artifacts if item.kind == "corpus" and item.name == "kajongg-en")
    workshop = Workshop(errors={corpus.key: BadDataError("DL_GONE", "no; here; see")})
    with pytest.raises(BadDataError, match="DL_GONE"):
        make_side_by_side(artifacts, workshop, RUNTIME, spare=find_spare(artifacts, judged))
    left = keys(artifacts) - keys(workshop.made)
    evaluations = {item.key for item in artifacts if item.kind == "evaluation"}
    registrations = {item.key for item in artifacts if item.kind == "register"}
    assert len(evaluations) == 8  # two tasks of two models, and of FBANK and the random network beside them
    assert {corpus.key} | evaluations <= left
    assert registrations <= (keys(workshop.made) if metric == "probe/pnmi" else left)
    assert {item.kind for item in artifacts if item.key in left} <= {"corpus", "shards", "evaluation", "register"}


def test_a_version_is_registered_after_the_evaluations_of_its_model() -> None:
    judged = recipe().model_copy(update={"evaluate": two_tasks()})
    workshop = Workshop()
    make_side_by_side(plan(judged), workshop, RUNTIME, spare=find_spare(plan(judged), judged))
    order = [item.key for item in workshop.made]
    for registration in (item for item in workshop.made if isinstance(item, Registration)):
        results = evaluations_of(registration.model, judged)
        assert max(order.index(item.key) for item in results) < order.index(registration.key)


@pytest.mark.parametrize("is_here", [True, False])
def test_evaluations_share_the_cores_with_one_another_and_with_no_training(
    is_here: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has its worker and its share of the loaders; one run elsewhere makes all of them."""
    monkeypatch.setattr(side_by_side, "num_cores", lambda: 2)
    judged = recipe().model_copy(update={"evaluate": two_tasks()})
    workshop, beside, workers = Workshop(), [], []

    def make(item: Artifact, runtime: Runtime) -> None:
        if tag_of(item) in {"gpu", "evaluation"}:
            beside.append(dict(workshop.now))
        if worker := worker_of_stage.get():
            workers.append((worker.number, runtime.workers))
        workshop(item, runtime)

    make_side_by_side(plan(judged), make, Runtime(workers=4), is_here=is_here)
    assert workshop.most["evaluation"] == (2 if is_here else 1)
    assert set(workers) == ({(0, 2), (1, 2)} if is_here else set())
    assert not [now for now in beside if now.get("gpu") and now.get("evaluation")]
    assert not [item for item in workshop.begun if isinstance(item, Model) and item.key not in keys(workshop.made)]


def test_a_version_after_one_that_is_given_up_is_not_registered_and_the_run_ends() -> None:
    """The second iteration needs nothing of the first but its turn."""
    one = recipe_of(None)
    first, other = one.iterations[0], one.iterations[0].codebook.model_copy(update={"num_clusters": 40})
    artifacts = plan(one.model_copy(update={"iterations": (first, first.model_copy(update={"codebook": other}))}))
    model, second = (item for item in artifacts if isinstance(item, Model))
    workshop = Workshop(errors={model.key: BadDataError("LABELS_BAD", "no; here; see")})
    with pytest.raises(BadDataError, match="LABELS_BAD"):
        make_side_by_side(artifacts, workshop, RUNTIME)
    assert second.key in keys(workshop.made)
    assert not [item for item in workshop.begun if item.kind == "register"]


def test_one_after_the_other_is_made_in_the_thread_of_the_run() -> None:
    """Nothing can be beside it: a stop ends it as it ends any stage."""
    shards = find("shards", "aa")
    workshop = Workshop()
    make_side_by_side(list(build_order([shards])), workshop, RUNTIME)
    assert workshop.threads == {threading.get_ident()}
    assert workshop.made[-1] == shards
    several = Workshop(made=[item for item in PLAN if item.kind == "corpus"])
    make_side_by_side([item for item in PLAN if item.kind == "shards"], several, RUNTIME)
    assert several.threads == {threading.get_ident()}  # they share the cores


def test_what_another_run_makes_is_left_to_it_while_there_is_something_else() -> None:
    a = find("corpus", "aa")
    foreign = {a.key}
    workshop = Workshop()
    others = [item for item in PLAN if item.kind in {"corpus", "shards"}]

    def find_maker(item: Artifact) -> str | None:
        if len(workshop.made) == len(others) - 2:  # all but it and its shards
            foreign.clear()
        return "process 7 on another" if item.key in foreign else None

    make_side_by_side(others, workshop, RUNTIME, find_maker)
    assert [item.key for item in workshop.made[-2:]] == [a.key, find("shards", "aa").key]


def test_a_run_waits_visibly_for_what_others_make_and_no_longer_than_asked() -> None:
    runtime = Runtime(wait_minutes=0)
    with pytest.raises(LockedError, match=r"LOCKED: corpus/aa-.* is being made by process 7"):
        make_side_by_side([find("corpus", "aa"), find("corpus", "bb")], Workshop(), runtime, lambda _: "process 7")


def test_what_another_run_takes_in_the_same_moment_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "REST_SECONDS", 0.3)
    a = find("corpus", "aa")
    tries: list[int] = []
    workshop = Workshop()

    def make(item: Artifact, runtime: Runtime) -> None:
        if item.key == a.key:
            tries.append(runtime.wait_minutes)
            if len(tries) == 1:
                raise LockedError("LOCKED", "it is being made by process 7; at a; wait for it or stop it")
        workshop(item, runtime)

    make_side_by_side([find("corpus", "aa"), find("corpus", "bb"), find("shards", "bb")], make, RUNTIME)
    assert len(workshop.made) == 3
    assert tries[0] == 0  # it waits nowhere while others need its place
    assert len(tries) == 2


class StopError(BaseException):
    pass


def test_a_stop_ends_the_stages_under_way_before_it_goes_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an interrupt of the main thread: what a stage has started is stopped on the way up."""
    stopped: list[str] = []
    begun = threading.Event()

    def make(item: Artifact, _runtime: Runtime) -> None:
        try:
            begun.set()
            while True:
                time.sleep(0.01)
        finally:
            stopped.append(item.name)

    def stop(self: object) -> None:
        assert begun.wait(LIMIT_SECONDS)
        time.sleep(0.1)
        raise StopError

    monkeypatch.setattr(side_by_side._SideBySide, "_take", stop)
    with pytest.raises(StopError):
        make_side_by_side([find("corpus", "aa"), find("corpus", "bb")], make, RUNTIME)
    assert sorted(stopped) == ["aa", "bb"]
