"""Kind V: iteration numbers are places in the recipe, and what only changes a curve is no part of a model.

People reported: of two iterations on MFCC labels both were iteration 1, so that `--iteration 2` found nothing and the
alias `iteration-1` moved; and a model was trained again because validation was asked for more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tiny_specs import tiny_network, tiny_training
from wavlm.errors import UsageError
from wavlm.pipeline.artifacts import Artifact, Model
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.selection import select, select_needed
from wavlm.pipeline.store import Store
from wavlm.specs import (
    AptSource,
    CodebookSpec,
    CorpusSpec,
    HiddenFeatures,
    IterationSpec,
    MfccFeatures,
    MixSpec,
    MixturesSpec,
    Recipe,
    ShardSpec,
)
from wavlm.specs.layouts import FestvoxLayout
from wavlm.storage.facts import Facts

MFCC, HIDDEN = MfccFeatures(type="mfcc"), HiddenFeatures(type="hidden", layer=1)
CLEAN = MixSpec(name="clean", probability=0.2)
NOISY = MixSpec(name="noisy", probability=0.2, noise_probability=0.5)


def corpus(name: str, role: str = "speech", sha256: str = "0" * 64) -> CorpusSpec:
    return CorpusSpec.model_validate(
        {
            "name": name,
            "role": role,
            "description": "",
            "homepage": "",
            "license": "",
            "citation": "",
            "sources": (AptSource(type="apt", package=name, version="1", sha256=sha256, size_bytes=1),),
            "layout": FestvoxLayout(type="festvox", speaker="one"),
        }
    )


def iteration(
    features: MfccFeatures | HiddenFeatures = MFCC, mix: MixSpec | None = None, **training: object
) -> IterationSpec:
    codebook = CodebookSpec(features=features, num_clusters=10)
    return IterationSpec(codebook=codebook, network=tiny_network(), train=tiny_training(**training), mix=mix)


def recipe(*iterations: IterationSpec, **fields: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "description": "",
            "registry_name": "tiny",
            "speech": (corpus("ab"), corpus("cd")),
            "noise": (corpus("no", "noise"),),
            "shards": ShardSpec(min_seconds=1, max_seconds=10),
            "mixtures": MixturesSpec(num_utterances=2),
            "iterations": iterations,
            **fields,
        }
    )


def models_of(*iterations: IterationSpec, **fields: object) -> tuple[Model, ...]:
    return models(plan(recipe(*iterations, **fields)))


def keys(artifacts: Sequence[Artifact]) -> list[str]:
    return [item.key for item in artifacts]


def touch(artifact: Artifact, out: Path) -> Facts:
    path = out / artifact.files[0].replace("*", "any")
    path.parent.mkdir(exist_ok=True)
    path.write_text(out.name)
    return Facts()


def fill(store: Store, artifacts: Sequence[Artifact]) -> None:
    for artifact in artifacts:
        store.make(artifact, lambda out, item=artifact: touch(item, out))  # type: ignore[misc]


@pytest.mark.parametrize("features", [(MFCC, MFCC), (MFCC, HIDDEN, MFCC), (MFCC, HIDDEN, HIDDEN), (MFCC,) * 3])
def test_an_iteration_has_the_number_of_its_place(features: tuple[MfccFeatures | HiddenFeatures, ...]) -> None:
    artifacts = plan(recipe(*(iteration(item, seed=seed) for seed, item in enumerate(features))))
    assert [model.iteration for model in models(artifacts)] == list(range(1, len(features) + 1))
    for number, features_there in enumerate(features, 1):
        (model,) = select(artifacts, "pretrain", number)
        assert model == models(artifacts)[number - 1]
        assert model.name == f"iteration{number}"
        for kind in ("export", "register"):
            (made,) = select(artifacts, kind, number)
            assert made.model == model
            assert made.name.endswith(f"iteration{number}")
        (codebook,) = select(artifacts, "codebook", number)
        assert codebook.spec.features == features_there
        assert keys(select(artifacts, "labels", number)) == keys(model.labels)


def test_two_iterations_may_share_their_labels() -> None:
    artifacts = plan(recipe(iteration(seed=0), iteration(seed=1)))
    assert len([item for item in artifacts if item.kind == "labels"]) == 2
    assert keys(select(artifacts, "labels", 1)) == keys(select(artifacts, "labels", 2))
    with pytest.raises(UsageError, match="NOTHING_FITS: no codebook of iteration 3, there is"):
        select(artifacts, "codebook", 3)


def test_iterations_that_would_be_one_model_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations 1 and 2 are the same model"):
        recipe(iteration(), iteration(valid_every=7))
    with pytest.raises(ValueError, match="iterations 1 and 3 are the same model"):
        recipe(iteration(), iteration(HIDDEN), iteration().model_copy(update={"speech": ("cd", "ab")}))


def test_a_model_is_the_same_at_another_place_and_the_store_finds_it_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = plan(recipe(iteration(seed=1)))
    fill(store, first)
    again = plan(recipe(iteration(seed=0), iteration(seed=1)))
    (model,), (export,) = select(again, "pretrain", 2), select(again, "export", 2)
    assert model.name == "iteration2"
    assert keys([model, export]) == keys([*select(first, "pretrain"), *select(first, "export")])
    assert store.is_complete(model)
    assert store.path(model).name == f"iteration1-{model.key}"
    assert store.record(export).inputs == (f"pretrain/iteration1-{model.key}",)
    store.make(model, lambda _: pytest.fail("made twice"))
    store.redo(model)
    assert not store.is_complete(model)


def test_what_was_begun_under_another_name_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, again = plan(recipe(iteration(seed=1))), plan(recipe(iteration(seed=0), iteration(seed=1)))
    fill(store, [item for item in first if item.kind in ("corpus", "shards", "codebook", "labels")])

    def fails(out: Path) -> Facts:
        (out / "train.log").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.make(models(first)[0], fails)

    def ends(out: Path) -> Facts:
        assert (out / "train.log").read_text() == "half"
        return Facts()

    folder = store.make(models(again)[1], ends)
    assert store.is_complete(models(first)[0])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    "fields",
    [
        {"mixtures": MixturesSpec(num_utterances=3)},
        {"mixtures": MixturesSpec(num_utterances=2, seed=1)},
        {"mixtures": None},
    ],
)
def test_the_fixed_validation_set_is_no_part_of_a_model(fields: dict[str, object]) -> None:
    iterations = iteration(mix=NOISY), iteration(HIDDEN, mix=NOISY)
    before, after = models_of(*iterations), models_of(*iterations, **fields)
    assert keys(before) == keys(after)
    assert [item.mixtures for item in before] != [item.mixtures for item in after]


@pytest.mark.parametrize("changes", [{"valid_every": 7}, {"log_every": 3}, {"valid_every": 1, "log_every": 1}])
def test_how_often_a_curve_is_measured_is_no_part_of_a_model(changes: dict[str, object]) -> None:
    assert keys(models_of(iteration(mix=NOISY))) == keys(models_of(iteration(mix=NOISY, **changes)))


def test_the_mix_and_the_noise_that_a_model_is_trained_on_are_parts_of_it() -> None:
    def key(mix: MixSpec | None, **fields: object) -> str:
        return models_of(iteration(mix=mix), **fields)[0].key

    louder = NOISY.model_copy(update={"noise_ratio_db": (-10.0, 0.0)})
    other_noise = {"noise": (corpus("no", "noise", sha256="1" * 64),)}
    assert len({key(None), key(CLEAN), key(NOISY), key(louder), key(NOISY, **other_noise)}) == 5


@pytest.mark.parametrize("mix", [None, CLEAN])
def test_an_iteration_that_mixes_no_noise_depends_on_no_noise(mix: MixSpec | None) -> None:
    """Neither its key nor what has to be there to train it: also not the fixed validation set of a later iteration."""
    iterations = iteration(mix=mix), iteration(HIDDEN, mix=NOISY)
    first = models_of(*iterations)[0]
    other = models_of(*iterations, noise=(corpus("no", "noise", sha256="1" * 64),))[0]
    assert first.key == other.key
    needed = select_needed((first,), "pretrain")
    assert "no" not in {item.name for item in needed}
    assert keys(select_needed((other,), "pretrain")) == keys(needed)


def test_the_fixed_validation_set_is_made_before_the_model_that_it_measures() -> None:
    artifacts = plan(recipe(iteration(mix=CLEAN), iteration(HIDDEN, mix=NOISY)))
    seen: set[str] = set()
    for item in artifacts:
        assert {one.key for one in item.needs} <= seen
        seen.add(item.key)
    assert keys(select(artifacts, "mixtures", 2)) == [models(artifacts)[1].mixtures.key]
