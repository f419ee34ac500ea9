"""Which task makes what, in which order, and how often: with tasks that only note that they were called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flows.make
import flows.work
from flows.elsewhere import needs_gpu, without_gpus
from flows.make import make, make_again, make_with_inputs, require_registered
from flows.prepare import _choose
from flows.work import show_time, weigh
from tests.tasks.conftest import recipe_of
from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Artifact, Corpus, Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.storage.facts import Facts

RECIPE, RUNTIME = recipe_of(None), Runtime(workers=7)
Call = tuple[Any, ...]


def complete(artifact: Artifact, store: Store) -> None:
    store.make(artifact, lambda _: Facts())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What was asked of which task; each makes its artifact."""
    found: list[Call] = []

    def task(name: str) -> Callable[..., None]:
        def run(artifact: Artifact, store: Store, *rest: object) -> None:
            found.append((name, artifact, store, *rest))
            complete(artifact, store)

        return run

    kinds = ("corpus", "shards", "codebook", "labels", "mixtures", "scores", "export")
    monkeypatch.setattr(flows.make, "_TASKS", {kind: task(kind) for kind in kinds})
    monkeypatch.setattr(flows.make, "pretrain", task("pretrain"))
    monkeypatch.setattr(flows.make, "register", task("register"))
    monkeypatch.setattr(flows.make, "find_thinned", lambda artifacts, _: [])
    return found


def test_each_kind_has_its_task_which_gets_what_it_needs(store: Store, calls: list[Call]) -> None:
    for artifact in plan(RECIPE):
        make(artifact, RECIPE, store, RUNTIME)
    assert [call[1] for call in calls] == list(plan(RECIPE))
    assert all(call[0] == call[1].kind for call in calls)
    rest = {call[0]: call[2:] for call in calls}
    assert rest.pop("pretrain") == (store, RUNTIME, RECIPE.name)
    assert rest.pop("register") == (store, RECIPE, RUNTIME)
    assert set(rest.values()) == {(store, RUNTIME)}


def test_what_is_complete_is_left_alone(store: Store, calls: list[Call]) -> None:
    first = plan(RECIPE)[0]
    complete(first, store)
    make(first, RECIPE, store, RUNTIME)
    make_with_inputs(first, RECIPE, store, RUNTIME)
    assert calls == []


def test_inputs_are_made_first_and_once(store: Store, calls: list[Call]) -> None:
    (*_, last) = [item for item in plan(RECIPE) if item.kind == "pretrain"]
    make_with_inputs(last, RECIPE, store, RUNTIME)
    made = [call[1] for call in calls]
    assert made[-1] == last
    assert len({item.key for item in made}) == len(made)
    for place, item in enumerate(made):
        assert {need.key for need in item.needs} <= {before.key for before in made[:place]}


@pytest.mark.parametrize(("failures", "works"), [(0, True), (2, True), (3, False)])
def test_an_input_that_goes_away_is_made_again_two_times(
    store: Store, calls: list[Call], monkeypatch: pytest.MonkeyPatch, failures: int, works: bool
) -> None:
    left, run = [failures], flows.make._TASKS["corpus"]

    def task(*arguments: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise BadDataError("INPUT_MISSING", "it is gone; there; make it")
        run(*arguments)

    monkeypatch.setitem(flows.make._TASKS, "corpus", task)
    if works:
        make_with_inputs(plan(RECIPE)[0], RECIPE, store, RUNTIME)
        assert len(calls) == 1
    else:
        with pytest.raises(BadDataError, match="INPUT_MISSING"):
            make_with_inputs(plan(RECIPE)[0], RECIPE, store, RUNTIME)


def test_other_bad_data_is_not_tried_again(store: Store, calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def task(*_: Any) -> None:
        tries.append(1)
        raise BadDataError("CHECKSUM", "it is damaged; there; make it")

    monkeypatch.setitem(flows.make._TASKS, "corpus", task)
    with pytest.raises(BadDataError, match="CHECKSUM"):
        make_with_inputs(plan(RECIPE)[0], RECIPE, store, RUNTIME)
    assert tries == [1]


def test_made_again_the_old_one_lies_in_the_trash(store: Store, calls: list[Call]) -> None:
    corpus = plan(RECIPE)[0]
    complete(corpus, store)
    make_again(corpus, RECIPE, store, RUNTIME)
    assert [call[1] for call in calls] == [corpus]
    assert len(list((store.root / "trash").glob("*/*"))) == 1


def test_what_has_no_inputs_is_not_moved_away(store: Store, calls: list[Call]) -> None:
    corpus, shards = plan(RECIPE)[:2]
    complete(corpus, store)
    complete(shards, store)
    store.redo(corpus)
    with pytest.raises(BadDataError, match="INPUT_MISSING"):
        make_again(shards, RECIPE, store, RUNTIME)
    assert store.path(shards).is_dir()
    assert calls == []


def test_shards_of_a_corpus_whose_audio_was_dropped_get_it_again(
    store: Store, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, shards = plan(RECIPE)[:2]
    complete(corpus, store)
    monkeypatch.setattr(flows.make, "find_thinned", lambda items, _: [corpus] if items == [shards] else [])
    make(shards, RECIPE, store, RUNTIME)
    assert [call[1] for call in calls] == [corpus, shards]


def test_shards_stay_where_they_are_if_their_corpus_cannot_be_made_again(
    store: Store, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wavlm stage shards --redo` after the audio was dropped, and the archive's server does not answer."""
    corpus, shards = plan(RECIPE)[:2]
    complete(corpus, store)
    complete(shards, store)
    monkeypatch.setattr(flows.make, "find_thinned", lambda items, _: [corpus] if items == [shards] else [])

    def down(*_: Any) -> None:
        raise ServiceMissingError("DOWNLOAD", "it does not answer; there; try again")

    with monkeypatch.context() as patch:
        patch.setitem(flows.make._TASKS, "corpus", down)
        with pytest.raises(ServiceMissingError):
            make_again(shards, RECIPE, store, RUNTIME)
    assert store.is_complete(shards)
    complete(corpus, store)
    make_again(shards, RECIPE, store, RUNTIME)
    assert [call[1] for call in calls] == [corpus, corpus, shards]


def test_a_model_that_the_registry_did_not_take_is_named(store: Store, calls: list[Call]) -> None:
    registrations = [item for item in plan(RECIPE) if isinstance(item, Registration)]
    for artifact in plan(RECIPE):
        if artifact.key != registrations[1].key:
            complete(artifact, store)
    with pytest.raises(ServiceMissingError, match="NOT_REGISTERED") as error:
        require_registered(plan(RECIPE), store, "a recipe.yaml")
    assert str(registrations[1]) in str(error.value)
    assert str(registrations[0]) not in str(error.value)
    assert f"wavlm sync 'a recipe.yaml' --store {store.root}" in str(error.value)
    complete(registrations[1], store)
    require_registered(plan(RECIPE), store, "a recipe.yaml")


def test_what_runs_a_network_goes_where_the_gpus_are() -> None:
    names = sorted({str(item).rpartition("-")[0] for item in plan(RECIPE) if needs_gpu(item)})
    assert names == [
        "codebook/layer2-k50", "labels/voice", "pretrain/iteration1", "pretrain/iteration2", "scores/iteration1",
        "scores/iteration2",
    ]  # fmt: skip
    mfcc = [item for item in plan(RECIPE) if item.kind == "labels" and not needs_gpu(item)]
    assert len(mfcc) == 1


def test_what_stays_here_has_no_gpus_and_as_many_ranks() -> None:
    assert without_gpus(Runtime(gpus=4, workers=3)) == Runtime(gpus=0, processes=4, workers=3)
    assert without_gpus(Runtime(processes=2)) == Runtime(processes=2)


def test_preparing_makes_corpora_and_shards_alone() -> None:
    assert {item.kind for item in _choose(plan(RECIPE))} == {"corpus", "shards"}
    assert len(_choose(plan(RECIPE))) == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 min"), (89, "1 min"), (119 * 60, "119 min"), (120 * 60, "2 hours"), (9001, "3 hours"),
     (47.9 * 3600, "48 hours"), (48 * 3600, "2 days"), (10 * 86400, "10 days")],
)  # fmt: skip
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert show_time(seconds) == text


def test_without_times_all_artifacts_weigh_the_same(store: Store) -> None:
    todo = plan(RECIPE)[:3]
    assert weigh(todo, store, is_timed=False) == {item.key: 1.0 for item in todo}
    assert weigh([], store, is_timed=True) == {}


def test_a_run_concludes_with_what_it_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the chosen: one was there, one is made here, one by another run, one is missing."""
    added: list[str] = []
    monkeypatch.setattr(flows.work, "add_to_name", added.append)
    there, here, elsewhere, missing = [item for item in plan(RECIPE) if item.kind in ("corpus", "shards")]
    chosen = [there, here, elsewhere]
    for item in (there, elsewhere):
        complete(item, Store(store.root))
    complete(here, store)
    conclude = flows.work._conclude
    text = "made 1 of 3 artifacts, 1 were there, 1 were made by other runs"
    assert conclude(store, chosen, [there]) == text
    assert conclude(store, [*chosen, missing], [there]) == f"{text.replace('of 3', 'of 4')}, 1 are missing"
    assert conclude(store, chosen[:2], [there]) == "made 1 of 2 artifacts, 1 were there"
    assert added == []
    assert conclude(store, chosen, chosen) == "nothing to do: all 3 artifacts were there"
    assert added == ["nothing to do"]


def test_a_corpus_is_an_artifact_with_no_needs() -> None:
    assert [item.kind for item in plan(RECIPE) if not item.needs] == ["corpus", "corpus"]
    assert isinstance(plan(RECIPE)[0], Corpus)
