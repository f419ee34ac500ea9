"""Refreshes: a number asks once, takes once, is gone on with after a stop anywhere, and never starts from its product.

The registry, its versions and the models that are fetched from it are real; data stages and trainings are made up.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.model import build_imported
from tasks.refresh import alone, begin, seal, take_corpora
from tasks.register import register_model
from tasks.registry.connection import connect
from tasks.registry.contest import Contest
from tasks.registry.lookup import list_versions, promote, show_model
from tests.field.recipes import write_recipe
from tests.tasks.conftest import _write_short_report, build
from wavlm.errors import BadDataError, LockedError, UsageError
from wavlm.evaluation.facts import Gain
from wavlm.execution.progress import no_progress
from wavlm.execution.runtime import Runtime
from wavlm.nn import WavLM, load_model, save_model
from wavlm.pipeline.artifacts import Artifact, ImportedModel, Model, Registration, Shards
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.refreshes import Refresh, describe_refresh, read_refresh
from wavlm.pipeline.registration import read_gate
from wavlm.pipeline.resolve import read_folders, resolve
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import hours_since_refresh
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe
from wavlm.storage.facts import Facts

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")]

NAME = "wavlm-small"
MODELS = """models:
  base: {{source: {{type: folder, path: "{folder}"}}}}
  champion: {{registry: wavlm-small@champion, first: base}}
iterations:
"""
DATA = {"model", "corpus", "shards"}


class KilledError(Exception):
    """The process is gone."""


class Loop:
    """A weekly loop of one recipe, played in this process."""

    def __init__(self, folder: Path, registry: Path) -> None:
        network = "{preset: tiny, special_symbols: 0}"
        self.path = write_recipe(
            folder,
            ("iterations:\n", MODELS.format(folder=folder / "base")),
            (f"    network: {network}\n", f"    network: {network}\n    start: {{model: champion}}\n"),
        )
        self.store = Store(folder / "store")
        shutil.copytree(registry, self.store.root / "registry")
        self.speech = folder / "speech" / "ann"
        torch.manual_seed(7)
        save_model(WavLM(self.recipe.iterations[0].network, 10), folder / "base")
        self.gains: list[float] = []
        self.trained = 0

    @property
    def recipe(self) -> Recipe:
        return read_recipe(self.path)

    @property
    def resolved(self) -> Recipe:
        return resolve(self.recipe, self.store)

    @property
    def newest(self) -> Refresh:
        found = read_refresh(self.store.root, "small")
        assert found is not None
        return found

    def add_speech(self, name: str) -> None:
        (self.speech / f"{name}.flac").write_bytes(name.encode())

    def begin(self, number: int | None = None, *, anyway: bool = False) -> Refresh | None:
        today = lambda: read_folders(self.recipe, self.store, stall_seconds=0, is_today=True)  # noqa: E731
        return begin(self.recipe, self.store, today, number, anyway=anyway)

    def refresh(
        self, *, anyway: bool = False, until: str = "", before_shards: Callable[[], None] | None = None
    ) -> bool:
        """As the flow does it; `until`: the kind before which the process is killed. Whether there was a number."""
        if self.begin(anyway=anyway) is None:
            return False
        read_folders(self.recipe, self.store, stall_seconds=0)
        recipe = self.resolved
        for artifact in plan(recipe):
            if artifact.kind == until:
                raise KilledError
            if artifact.kind == "shards" and before_shards:
                before_shards()
            if artifact.kind not in DATA:
                take_corpora(recipe, self.store)
            self._make(artifact, recipe)
        if until == "seal":
            raise KilledError
        seal(recipe, self.store)
        return True

    def _make(self, artifact: Artifact, recipe: Recipe) -> None:
        if isinstance(artifact, Registration):
            register_model(artifact, self.store, recipe)
        elif isinstance(artifact, ImportedModel):
            self.store.make(artifact, lambda out: build_imported(artifact, self.store, out, no_progress))
        else:
            self.store.make(artifact, lambda out: self._build(artifact, out))

    def _build(self, artifact: Artifact, out: Path) -> Facts:
        facts = build(artifact, self.store, out)
        if isinstance(artifact, Model):
            torch.manual_seed(int(artifact.key, 16) % 2**31)
            save_model(WavLM(artifact.network, 10), out)
            self.trained += 1
        return facts


@pytest.fixture
def loop(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tasks.register.write_report", _write_short_report)
    monkeypatch.setattr("tasks.registry.description.draw_plots", lambda *_: [])  # half a second each
    made = Loop(tmp_path, empty_registry)

    def measure(contest: Contest, metric: str) -> Gain | str:
        assert load_model(contest.champion_dir)
        if metric == "probe/pnmi":
            return "no phones"
        gain = made.gains.pop(0)
        return Gain(
            metric=metric, ours=2.0 - gain, theirs=2.0, gain=gain, low=gain - 0.1, high=gain + 0.1, confidence=0.95,
            num_utterances=50, num_blocks=50, unit="utterances",
        )  # fmt: skip

    monkeypatch.setattr(Contest, "measure", measure)
    return made


def _more(*names: str) -> list[Any]:
    """Places that `make test` has no time for."""
    return [pytest.param(name, marks=pytest.mark.full) for name in names]


def champion_of(loop: Loop) -> int:
    return next(item.version for item in list_versions(loop.store, NAME) if "champion" in item.aliases)


def test_three_weeks_the_first_from_a_released_model_then_from_the_champion(loop: Loop) -> None:
    loop.gains = [0.3, 0.05]
    assert describe_refresh(loop.recipe, loop.store.root) == (
        "no refresh yet; champion: wavlm-small@champion, not resolved"
    )
    assert loop.refresh()
    first = loop.newest
    assert (first.number, first.state, first.models["champion"].first) == (1, "sealed", "base")
    assert first.product
    assert (first.product.version, first.product.model) == (1, NAME)
    assert not loop.refresh()  # nothing is new: its own product is the champion
    assert loop.newest == first

    loop.add_speech("week-2")
    assert loop.refresh()
    second = loop.newest
    assert (second.number, second.models["champion"].version) == (2, "1")
    assert second.models["champion"].sha256 == first.product.sha256
    assert champion_of(loop) == 2
    registration = next(item for item in plan(loop.resolved) if isinstance(item, Registration))
    said = read_gate(loop.store.path(registration))
    assert said
    assert said.gain
    assert (said.champion, said.is_champion, said.gain.low) == (1, True, pytest.approx(0.2))
    assert second.product
    assert second.product.verdict.startswith("better: valid/loss 1.7000 against 2.0000")

    loop.add_speech("week-3")
    assert loop.refresh()
    third = loop.newest
    assert third.models["champion"].version == "2"
    assert third.product
    assert third.product.verdict.startswith("not better beyond doubt: ")
    assert champion_of(loop) == 2  # the newest is not the best
    assert describe_refresh(loop.recipe, loop.store.root) == (
        "refresh 3, sealed; champion: wavlm-small@champion, version 2"
    )
    chain = list_versions(loop.store, f"{NAME}:3")
    assert [item.reference for item in chain] == [f"{NAME}:1", f"{NAME}:2", f"{NAME}:3"]
    (shown,) = show_model(loop.store, f"{NAME}:3").versions
    assert shown.lineage["descends from"].startswith(f"{NAME}:2, {NAME}:1, the model ")

    loop.gains = [0.0]
    assert loop.refresh(anyway=True)  # nothing is new: the same as before is there already, and judged
    assert (loop.newest.number, loop.newest.state, loop.trained) == (4, "sealed", 3)


@pytest.mark.parametrize(
    "kind", ["shards", "pretrain", "seal", *_more("model", "corpus", "labels", "export", "register")]
)
def test_killed_anywhere_the_same_command_ends_the_same(loop: Loop, kind: str) -> None:
    loop.gains = [0.3]
    loop.refresh()
    loop.add_speech("week-2")
    with pytest.raises(KilledError):
        loop.refresh(until=kind)
    opened = loop.newest
    assert (opened.number, opened.state) == (2, "open")
    if kind in {"labels", "pretrain", "export", "register", "seal"}:
        loop.add_speech("late")  # belongs to the next number
    assert loop.refresh()
    assert (loop.newest.number, loop.newest.state, loop.trained) == (2, "sealed", 2)
    assert loop.newest.models == opened.models
    assert champion_of(loop) == 2
    (model,) = models(plan(loop.resolved))
    assert isinstance(model.start, ImportedModel)
    assert model.start.spec.source.version == "1"  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["end", *_more("tag", "alias", "record")])
def test_a_registration_that_was_killed_after_it_promoted_keeps_its_verdict(
    loop: Loop, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the version would be compared with itself, and the next start would be this very product."""
    loop.gains = [0.3]
    loop.refresh()
    loop.add_speech("week-2")

    def kill(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        if place == "tag":
            patch.setattr("mlflow.MlflowClient.set_model_version_tag", _but("wavlm.gate", kill))
        elif place == "alias":
            patch.setattr("mlflow.MlflowClient.set_registered_model_alias", _but("champion", kill))
        else:
            patch.setattr(
                f"tasks.{'registry.aliases.record_end' if place == 'end' else 'register.write_registration'}", kill
            )
        with pytest.raises(KilledError):
            loop.refresh()
    assert loop.refresh()
    assert loop.newest.state == "sealed"
    assert loop.newest.product
    assert loop.newest.product.verdict.startswith("better: valid/loss 1.7000")
    old, new = list_versions(loop.store, NAME)
    assert new.tags["wavlm.gate"].startswith("better: ")
    assert old.tags["wavlm.gate"] == f"champion until {NAME}:2"
    assert champion_of(loop) == 2
    assert not loop.refresh()


def _but(word: str, kill: Callable[..., None]) -> Callable[..., None]:
    """MLflow's method, but the call that names this word kills the process."""
    import mlflow

    method = "set_registered_model_alias" if word == "champion" else "set_model_version_tag"
    real = getattr(mlflow.MlflowClient, method)

    def call(client: Any, *arguments: Any, **named: Any) -> None:
        if word in arguments:
            kill()
        real(client, *arguments, **named)

    return call


def test_what_arrives_while_a_number_is_open_belongs_to_it_until_its_shards_are_there(loop: Loop) -> None:
    loop.refresh()
    loop.add_speech("early")
    with pytest.raises(KilledError):
        loop.refresh(until="shards")
    assert not loop.newest.corpora
    loop.add_speech("in-time")
    loop.gains = [0.3]
    with pytest.raises(KilledError):  # one comes in after the folder was read, before its shards are there
        loop.refresh(until="pretrain", before_shards=lambda: loop.add_speech("just-too-late"))
    taken = loop.newest.corpora["mine"]
    loop.add_speech("too-late")
    loop.refresh()
    assert loop.newest.corpora["mine"] == taken
    today = read_folders(loop.recipe, loop.store, stall_seconds=0, is_today=True).speech[0]
    assert today != loop.resolved.speech[0]
    loop.gains = [0.3]
    assert loop.refresh()
    assert loop.newest.number == 3
    assert today == loop.resolved.speech[0]


def test_an_alias_that_moves_while_a_number_is_open_changes_nothing(loop: Loop) -> None:
    loop.gains = [0.3, 0.3, 0.3]
    loop.refresh()
    loop.add_speech("week-2")
    loop.refresh()
    loop.add_speech("week-3")
    with pytest.raises(KilledError):
        loop.refresh(until="pretrain")
    promote(loop.store, f"{NAME}:1", "champion")
    loop.refresh()
    assert loop.newest.models["champion"].version == "2"
    assert loop.newest.product
    assert "of wavlm-small:1 on" in loop.newest.product.verdict
    promote(loop.store, f"{NAME}:1", "champion")
    loop.gains = [0.3]
    assert loop.refresh()  # a model that this loop neither took nor made is news
    assert loop.newest.models["champion"].version == "1"


def test_a_second_refresh_waits_for_the_first(loop: Loop) -> None:
    with (
        alone(loop.recipe, loop.store, Runtime()),
        pytest.raises(LockedError, match="the refresh of small"),
        alone(loop.recipe, loop.store, Runtime(wait_minutes=0)),
    ):
        pass


def test_numbers_that_can_neither_be_gone_on_with_nor_begun_are_refused(loop: Loop) -> None:
    with pytest.raises(UsageError, match=r"REFRESH_NUMBER.*there is none yet"):
        loop.begin(2)
    loop.refresh()
    assert loop.begin(1) is None
    with pytest.raises(UsageError, match=r"REFRESH_NUMBER.*the newest is 1, sealed"):
        loop.begin(3)
    loop.add_speech("week-2")
    begun = loop.begin(2)
    assert begun
    assert begun.number == 2
    with pytest.raises(UsageError, match=r"REFRESH_NUMBER.*the newest is 2, open"):
        loop.begin(3)


def test_a_recipe_without_an_alias_has_no_loop(loop: Loop) -> None:
    loop.path.write_text(loop.path.read_text().replace("@champion, first: base", ":1"))
    with pytest.raises(UsageError, match="REFRESH_FIXED"):
        loop.begin()


def test_a_damaged_number_is_named_and_nothing_begins(loop: Loop) -> None:
    loop.refresh()
    path = loop.store.root / "refreshes/small/0001.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "state": "open"}, indent=2, sort_keys=True))
    with pytest.raises(BadDataError, match=r"RECORD_BROKEN.*0001\.json"):
        loop.begin()


def test_without_a_stand_in_the_first_number_says_that_there_is_no_champion(loop: Loop) -> None:
    loop.path.write_text(loop.path.read_text().replace(", first: base", ""))
    with pytest.raises(UsageError, match="MODEL_UNKNOWN"):
        loop.begin()
    assert read_refresh(loop.store.root, "small") is None


def test_hours_since_the_last_refresh_are_those_that_it_did_not_take(loop: Loop) -> None:
    def hours() -> float | None:
        recipe = read_folders(loop.recipe, loop.store, stall_seconds=0, is_today=True)
        for artifact in plan(recipe):
            if artifact.kind in {"corpus", "shards"}:
                loop.store.make(artifact, lambda out, item=artifact: longer(item, out))
        return hours_since_refresh(recipe, loop.store)

    def longer(artifact: Artifact, out: Path) -> Facts:
        facts = build(artifact, loop.store, out)
        length = 1.5 * len(list(loop.speech.iterdir()))
        return facts.model_copy(update={"hours": length}) if isinstance(artifact, Shards) else facts

    assert hours() == 1.5  # nothing was refreshed: all
    loop.refresh()
    assert hours() == 0
    loop.add_speech("more")
    loop.add_speech("and-more")
    assert hours() == 3


def test_ten_refreshes_are_one_history(loop: Loop) -> None:
    client = connect(loop.store).client
    client.create_registered_model(NAME)
    run = client.create_run(client.create_experiment("ten")).info.run_id
    for number in range(1, 11):
        tags = {"start.version": f"{NAME}:{number - 1}"} if number > 1 else {"start.key": "0123456789ab"}
        client.create_model_version(NAME, f"runs:/{run}/hf", run, tags={**tags, "wavlm.key": f"{number:012d}"})
    (shown,) = show_model(loop.store, f"{NAME}:10").versions
    expected = ", ".join([*(f"{NAME}:{number}" for number in range(9, 0, -1)), "the model 0123456789ab"])
    assert shown.lineage["descends from"] == expected
    assert [item.version for item in list_versions(loop.store, f"{NAME}:7")] == [*range(1, 8)]
    assert [item.version for item in list_versions(loop.store, NAME)] == [*range(1, 11)]
    client.delete_model_version(NAME, "4")
    (shown,) = show_model(loop.store, f"{NAME}:6").versions
    assert shown.lineage["descends from"] == f"{NAME}:5, {NAME}:4, which is not in the registry any more"
    client.set_model_version_tag(NAME, "5", "start.version", f"{NAME}:6")
    (shown,) = show_model(loop.store, f"{NAME}:6").versions
    assert shown.lineage["descends from"] == f"{NAME}:5, {NAME}:6 again: its tag start.version is wrong"
