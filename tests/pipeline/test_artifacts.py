"""Keys: what changes them, what does not, and what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import register_system
from tasks.finetune import CURVES_FILE
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.errors import UsageError
from wavlm.execution.metrics import METRICS_FILE
from wavlm.finetune.facts import FILES, FINETUNE_FILE
from wavlm.pipeline.artifacts import Artifact, Finetune
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.sealing import clear_leftovers, list_files
from wavlm.pipeline.selection import select
from wavlm.specs import (
    AptSource,
    CodebookSpec,
    CorpusSpec,
    HiddenFeatures,
    HttpsSource,
    IterationSpec,
    MfccFeatures,
    MixSpec,
    MixturesSpec,
    NetworkSpec,
    Recipe,
    ShardSpec,
    Spec,
)
from wavlm.specs.identity import canonical
from wavlm.specs.layouts import FestvoxLayout
from wavlm.systems.diarization import backend

SHA = "0" * 64


def corpus(name: str, role: str = "speech") -> CorpusSpec:
    return CorpusSpec.model_validate(
        {
            "name": name,
            "role": role,
            "description": "words",
            "homepage": "here",
            "license": "CC0",
            "citation": "nobody",
            "sources": (AptSource(type="apt", package=name, version="1", sha256=SHA, size_bytes=1),),
            "layout": FestvoxLayout(type="festvox", speaker="one"),
        }
    )


@pytest.fixture
def recipe() -> Recipe:
    mix = MixSpec(name="noisy", probability=0.2, noise_probability=0.1)
    features = (MfccFeatures(type="mfcc"), HiddenFeatures(type="hidden", layer=1))
    return Recipe(
        name="tiny",
        description="words",
        registry_name="tiny",
        speech=(corpus("ab"), corpus("cd")),
        noise=(corpus("no", "noise"),),
        shards=ShardSpec(min_seconds=1, max_seconds=10),
        mixtures=MixturesSpec(num_utterances=2),
        iterations=tuple(
            IterationSpec(
                codebook=CodebookSpec(features=feature, num_clusters=10),
                network=tiny_network(),
                train=tiny_training(),
                mix=mix,
            )
            for feature in features
        ),
    )


def change_field(spec: Spec, path: str, value: object) -> Spec:
    """A copy with one field, given by a dotted path, replaced."""
    head, _, rest = path.partition(".")
    old = getattr(spec, head) if not head.isdigit() else None
    if not rest:
        return spec.model_copy(update={head: value})
    index, _, after = rest.partition(".")
    if isinstance(old, tuple):
        items = list(old)
        items[int(index)] = change_field(items[int(index)], after, value) if after else value
        return spec.model_copy(update={head: tuple(items)})
    assert isinstance(old, Spec)
    return spec.model_copy(update={head: change_field(old, rest, value)})


def list_rebuilt(recipe: Recipe, path: str, value: object) -> list[str]:
    """What a change forks: kind and name of every artifact whose key is new."""
    before = {item.key for item in plan(recipe)}
    after = plan(change_field(recipe, path, value))  # type: ignore[arg-type]
    return [f"{item.kind}/{item.name}" for item in after if item.key not in before]


def test_a_plan_lists_inputs_before_what_is_made_from_them(recipe: Recipe) -> None:
    seen: set[str] = set()
    for item in plan(recipe):
        assert all(made.key in seen for made in item.needs)
        seen.add(item.key)


def test_training_seed_forks_the_model_and_what_follows_but_not_its_labels(
    recipe: Recipe,
) -> None:
    assert list_rebuilt(recipe, "iterations.1.train.seed", 7) == [
        "pretrain/iteration2",
        "scores/iteration2",
        "export/iteration2",
        "register/tiny-iteration2",
    ]


def test_a_change_in_iteration_one_forks_all_that_its_model_teaches(recipe: Recipe) -> None:
    forked = list_rebuilt(recipe, "iterations.0.train.peak_lr", 2e-3)
    assert "pretrain/iteration1" in forked
    assert "codebook/layer1-k10" in forked
    assert "labels/ab" in forked
    assert not [item for item in forked if item.startswith(("corpus", "shards", "mixtures"))]


def test_another_archive_forks_everything_made_from_that_corpus_alone(recipe: Recipe) -> None:
    forked = list_rebuilt(recipe, "speech.0.sources.0.sha256", "1" * 64)
    assert "shards/ab" in forked
    assert "shards/cd" not in forked
    assert "shards/no" not in forked


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("description", "other words"),
        ("speech.0.license", "MIT"),
        ("speech.0.expected_hours", 3.0),
        ("iterations.0.mix.name", "other"),
    ],
)
def test_words_for_people_fork_nothing(recipe: Recipe, path: str, value: object) -> None:
    assert list_rebuilt(recipe, path, value) == []


def test_mirrors_of_pinned_bytes_are_not_identity() -> None:
    def source(url: str) -> HttpsSource:
        return HttpsSource(type="https", urls=(url,), sha256=SHA, size_bytes=1, format="tar")

    assert canonical(source("https://a/x")) == canonical(source("https://b/x"))


def test_spelling_out_a_default_changes_no_key(recipe: Recipe) -> None:
    dropout = NetworkSpec.model_fields["dropout"].default
    assert list_rebuilt(recipe, "iterations.0.network.dropout", dropout) == []
    assert list_rebuilt(recipe, "iterations.0.network.dropout", dropout + 0.1) != []


def test_the_teacher_of_iteration_two_is_the_model_of_iteration_one(recipe: Recipe) -> None:
    first, second = models(plan(recipe))
    assert (first.iteration, second.iteration) == (1, 2)
    assert second.labels[0].codebook.teacher == first


def test_an_mfcc_codebook_is_shared_by_models_that_differ_only_in_training(
    recipe: Recipe,
) -> None:
    before = models(plan(recipe))[0]
    after = models(plan(change_field(recipe, "iterations.0.train.updates", 20)))[0]  # type: ignore[arg-type]
    assert before.key != after.key
    assert before.labels == after.labels


def test_select_narrows_by_iteration_and_corpus_and_says_what_there_is(recipe: Recipe) -> None:
    artifacts = plan(recipe)
    (only,) = select(artifacts, "labels", iteration=2, corpus="cd")
    assert only == models(artifacts)[1].labels[1]
    with pytest.raises(UsageError, match="there is: pretrain/iteration1"):
        select(artifacts, "pretrain", iteration=3)


def test_a_value_without_a_stable_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no stable form"):
        canonical(Path("x"))


def test_planning_needs_no_disk_and_gives_equal_values_twice(recipe: Recipe) -> None:
    first: tuple[Artifact, ...] = plan(recipe)
    assert first == plan(recipe)
    assert [item.key for item in first] == [item.key for item in plan(recipe)]


def test_all_files_that_a_fine_tuning_may_write_are_those_of_a_system(tmp_path: Path) -> None:
    written = sorted([*FILES, FINETUNE_FILE, CURVES_FILE])
    for name in written:
        (tmp_path / name).touch()
    (tmp_path / backend.FILE).touch()  # tuned when the system is sealed: neither a stray nor damage
    clear_leftovers(tmp_path, Finetune.files)  # refuses files that the stage does not make
    assert list_files(tmp_path) == written
    assert sorted([*register_system.FILES, METRICS_FILE]) == written  # a version has the curve beside it
