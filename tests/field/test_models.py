"""Models from elsewhere as teachers and starts. People reported: labels could not come from a released model, a head
was kept for other clusters because there were as many, and what was wrong with a model was found after data work.

What the layers of a model are is compared with transformers, which computes them by itself.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.field.recipes import findings, write_recipe
from tests.nn.networks import in_transformers, lively
from tests.tiny_specs import tiny_large_network, tiny_network
from wavlm.errors import CodedError
from wavlm.export.fairseq import write_fairseq
from wavlm.export.imported import build_model
from wavlm.export.sources import content_of, find_model
from wavlm.features.hidden import HiddenLayers
from wavlm.features.layers import Output
from wavlm.nn import WavLM
from wavlm.pipeline.artifacts import Codebook, Corpus, ImportedModel, Model
from wavlm.pipeline.check.wanted import Finding
from wavlm.pipeline.known import require_known
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import read_folders, resolve
from wavlm.pipeline.selection import select, select_needed
from wavlm.pipeline.store import Store
from wavlm.specs import ConvLayer, NetworkSpec, Recipe, paper_conv_layers
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe
from wavlm.storage.facts import Facts
from wavlm.storage.files import sha256_of

STILL = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "input_dropout": 0.0, "layer_drop": 0.0}
STYLES = {
    "wavlm-base": tiny_network(**STILL),
    "wavlm-large": tiny_large_network(**STILL),
    "hubert-base": tiny_network(gated_bias=False, **STILL),
    "hubert-large": tiny_large_network(gated_bias=False, conv_bias=True, **STILL),
}
LARGE_FIELDS = "extractor_norm: layer, norm_first: true, normalize_waveform: true"
TEACHER = "{type: hidden, model: base, layer: 2}"
# Frames of 720 samples: those of the network that learns see 400.
LONGER = (*paper_conv_layers(8)[:-1], ConvLayer(channels=8, kernel=4, stride=2))


def release(network: NetworkSpec, folder: Path) -> WavLM:
    """A folder as transformers itself writes it: no head, and weights far from initial ones."""
    model = lively(network)
    in_transformers(model).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": network.normalize_waveform}))
    return model


def models_yaml(path: Path | str, *more: str) -> tuple[str, str]:
    """A replacement that gives the recipe a model `base`."""
    fields = ", ".join((f'source: {{type: folder, path: "{path}"}}', *more))
    return "iterations:\n", f"models: {{base: {{{fields}}}}}\niterations:\n"


def recipe_with(folder: Path, model: Path | str, *more: str, features: str = TEACHER, start: bool = False) -> Path:
    """A recipe whose only iteration takes labels from `base`, and starts from it if asked for."""
    begin = [("    network:", "    start: {model: base}\n    network:")] if start else []
    return write_recipe(folder, models_yaml(model, *more), *begin, iterations=(features,))


def known(recipe: Path, store: Store) -> Recipe:
    return read_folders(read_recipe(recipe), store, stall_seconds=0)


def imported_of(recipe: Recipe) -> ImportedModel:
    (found,) = (item for item in plan(recipe) if isinstance(item, ImportedModel))
    return found


def errors(found: list[Finding]) -> list[CodedError]:
    return [item for item in found if isinstance(item, CodedError)]


@pytest.mark.parametrize("style", STYLES)
def test_layers_of_a_release_are_those_that_transformers_computes(style: str, tmp_path: Path) -> None:
    network = STYLES[style]
    model = release(network, tmp_path / "hf")
    build_model(tmp_path / "hf", tmp_path / "model")
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32)
    given = torch.from_numpy(waveform)[None]
    if network.normalize_waveform:  # what transformers' feature extractor does before
        given = torch.nn.functional.layer_norm(given, given.shape[1:], eps=1e-5)
    with torch.inference_mode():
        theirs = in_transformers(model).eval()(given, output_hidden_states=True)
    last = network.num_layers

    def layer(number: int, output: Output = "residual") -> np.ndarray:
        (found,) = HiddenLayers(tmp_path / "model", (number,), output=output)(waveform)
        return found

    for number in range(1, last):
        np.testing.assert_allclose(layer(number), theirs.hidden_states[number][0], atol=1e-5, rtol=0)
    # What follows the last layer is its final norm, where there is one. `hidden_states[-1]` is that or not, by version.
    output: Output = "normed" if network.norm_first else "residual"
    np.testing.assert_allclose(layer(last, output), theirs.last_hidden_state[0], atol=1e-5, rtol=0)
    if network.norm_first:
        assert np.abs(layer(last) - theirs.last_hidden_state[0].numpy()).max() > 0.1


def test_where_an_output_is_taken_is_a_part_of_the_key_and_its_default_changes_none(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    store, keys = Store(tmp_path / "store"), {}
    for name, features in (
        ("plain", TEACHER),
        ("residual", "{type: hidden, model: base, layer: 2, output: residual}"),
        ("normed", "{type: hidden, model: base, layer: 2, output: normed}"),
    ):
        recipe = known(recipe_with(tmp_path, tmp_path / "hf", features=features), store)
        keys[name] = next(item.key for item in plan(recipe) if isinstance(item, Codebook))
    assert keys["plain"] == keys["residual"] != keys["normed"]


def test_iteration_1_clusters_a_layer_of_a_named_model(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    store = Store(tmp_path / "store")
    recipe = known(recipe_with(tmp_path, tmp_path / "hf"), store)
    artifacts = plan(recipe)
    teacher = imported_of(recipe)
    assert artifacts[0] == teacher  # before any audio is read
    (codebook,) = select(artifacts, "codebook")
    assert isinstance(codebook, Codebook)
    assert codebook.teacher == teacher
    assert codebook.name == "base-layer2-k10"
    assert select(artifacts, "model", iteration=1) == (teacher,)
    needed = [item.kind for item in select_needed(artifacts, "labels")]  # a released model needs no training
    assert needed == ["model", "corpus", "shards", "codebook", "labels"]


def test_iteration_1_without_a_model_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"iteration 1 has no previous model.*name one of the recipe's models.*at "):
        read_recipe(write_recipe(tmp_path, iterations=("{type: hidden, layer: 1}",)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: base", "model: bse", r"bse is not among the recipe's models, which are: base: did you mean base\?"),
        ("type: folder", "type: fold", r"found 'fold', expected one of folder, https, registry: did you mean folder\?"),
        ('source: {type: folder, path: "hf"}', "registry: wavlm-mine", r"found 'wavlm-mine', expected NAME@ALIAS"),
        ("path:", "pth:", r"there is no field 'pth': did you mean path\?; at .*small.yaml:\d+:\d+, models.base.source"),
    ],
)
def test_a_mistake_in_models_is_named_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    recipe = recipe_with(tmp_path, "hf")
    recipe.write_text(recipe.read_text().replace(old, new, 1 if "model:" not in old else -1))
    with pytest.raises(RecipeError, match=said):
        read_recipe(recipe)


def test_a_start_names_a_model_or_a_folder_with_a_digest(tmp_path: Path) -> None:
    for start in ("{model: base, folder: x}", "{folder: x}", "{}"):
        recipe = recipe_with(tmp_path, "hf", start=True)
        recipe.write_text(recipe.read_text().replace("start: {model: base}", f"start: {start}"))
        with pytest.raises(RecipeError, match=r"give `model`|model and folder are both given"):
            read_recipe(recipe)


def test_the_network_of_a_model_need_not_be_written_again(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, "hf", f"network: {{preset: tiny, num_layers: 3, {LARGE_FIELDS}}}")
    recipe.write_text(
        recipe.read_text().replace("network: {preset: tiny, special_symbols: 0}", "network: {model: base}")
    )
    network = read_recipe(recipe).iterations[0].network
    assert (network.num_layers, network.norm_first) == (3, True)
    recipe.write_text(
        recipe.read_text().replace("{model: base}\n    train", "{model: base, layer_drop: 0.25}\n    train")
    )
    assert read_recipe(recipe).iterations[0].network == network.model_copy(update={"layer_drop": 0.25})
    bare = recipe_with(tmp_path, "hf")
    bare.write_text(bare.read_text().replace("network: {preset: tiny, special_symbols: 0}", "network: {model: base}"))
    with pytest.raises(
        RecipeError, match=r"the model base does not say which network it has: give models.base.network"
    ):
        read_recipe(bare)


def test_a_layer_that_a_described_model_lacks_is_found_while_reading(tmp_path: Path) -> None:
    features = "{type: hidden, model: base, layer: 9}"
    recipe = recipe_with(tmp_path, "hf", "network: tiny", features=features)
    with pytest.raises(RecipeError, match=r"iteration 1 clusters layer 9, but the model base has \d layers"):
        read_recipe(recipe)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (shutil.rmtree, "MODEL_UNUSABLE", "the model base is not there"),
        (lambda folder: (folder / "config.json").unlink(), "MODEL_UNUSABLE", "expected a model folder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "MODEL_UNUSABLE", "there are no weights"),
        (lambda folder: (folder / "config.json").write_text("{"), "MODEL_UNUSABLE", "the file cannot be used"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "data2vec-audio"}'),
            "MODEL_UNUSABLE",
            "'wavlm', 'hub",
        ),
        (
            lambda folder: (folder / "config.json").write_text(
                '{"model_type": "hubert", "conv_stride": [4,2,2,2,2,2,2]}'
            ),
            "START_NETWORK",
            "conv_layers",
        ),
    ],
)
def test_a_bad_model_is_found_before_any_data_work(tmp_path: Path, change, code: str, said: str) -> None:
    release(tiny_network(), tmp_path / "hf")
    change(tmp_path / "hf")
    found = errors(
        findings(recipe_with(tmp_path, tmp_path / "hf", features="{type: mfcc}", start=True), tmp_path / "s")
    )
    assert code in {item.code for item in found}
    (error,) = (item for item in found if item.code == code)
    assert said in str(error)
    assert str(error).count("; ") >= 2  # what, where, what to do


@pytest.mark.parametrize(
    ("network", "features", "code"),
    [
        (tiny_network(), "{type: hidden, model: base, layer: 3}", "LAYER_MISSING"),
        (tiny_network(), "{type: hidden, model: base, layer: 1, output: normed}", "LAYER_MISSING"),
        (tiny_large_network(), "{type: hidden, model: base, layer: 1, output: normed}", None),
        (tiny_network(conv_layers=LONGER), "{type: hidden, model: base, layer: 1}", "SAMPLE_RATE"),
    ],
)
def test_layers_are_checked_against_a_release_before_any_data_work(
    tmp_path: Path, network: NetworkSpec, features: str, code: str | None
) -> None:
    release(network, tmp_path / "hf")
    found = errors(findings(recipe_with(tmp_path, tmp_path / "hf", features=features), tmp_path / "store"))
    assert [item.code for item in found] == ([code] if code else [])


def test_a_start_of_another_network_is_found_before_any_data_work(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    (found,) = errors(findings(recipe_with(tmp_path, tmp_path / "hf", start=True), tmp_path / "store"))
    assert found.code == "START_NETWORK"
    assert "the model base is of another network than that of iteration 1" in str(found)
    assert "width is 16 there and" in str(found)


def test_a_release_that_is_not_what_its_spec_says_is_refused(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    (found,) = errors(
        findings(recipe_with(tmp_path, tmp_path / "hf", "network: tiny", features=TEACHER), tmp_path / "s")
    )
    assert found.code == "MODEL_NETWORK"
    with pytest.raises(CodedError, match="MODEL_NETWORK"):
        build_model(tmp_path / "hf", tmp_path / "out", network=tiny_network(num_heads=4))
    build_model(tmp_path / "hf", tmp_path / "out", network=tiny_network(layer_drop=0.3))  # only for training


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    path = tmp_path / "hf/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CodedError, match="MODEL_UNUSABLE: this is no complete safetensors file"):
        build_model(tmp_path / "hf", tmp_path / "out")


class _Code:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path, ...]]:
        return Path.touch, (self.mark,)


def test_a_pickle_with_code_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"cfg": _Code(mark), "model": {}}, 2))
    with pytest.raises(CodedError, match="MODEL_UNUSABLE"):
        build_model(tmp_path / "model.pt", tmp_path / "out")
    release(tiny_network(), tmp_path / "hf")
    (tmp_path / "hf/model.safetensors").unlink()
    torch.save({"code": _Code(mark)}, tmp_path / "hf/pytorch_model.bin")
    with pytest.raises(CodedError, match="MODEL_UNUSABLE"):
        build_model(tmp_path / "hf", tmp_path / "out")
    assert not mark.exists()


def test_a_model_is_identified_by_what_it_is_made_of_and_not_by_its_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    release(tiny_network(), tmp_path / "hf")
    first = imported_of(known(recipe_with(tmp_path, tmp_path / "hf"), store))
    (tmp_path / "hf/README.md").write_text("words")
    shutil.copytree(tmp_path / "hf", tmp_path / "elsewhere")
    moved = imported_of(known(recipe_with(tmp_path, "../elsewhere"), store))  # from the recipe's folder on
    assert moved.key == first.key
    weights = load_file(tmp_path / "hf/model.safetensors")
    weights["feature_projection.layer_norm.bias"] += 1e-3
    save_file(weights, tmp_path / "elsewhere/model.safetensors", {"format": "pt"})
    assert imported_of(known(recipe_with(tmp_path, tmp_path / "elsewhere"), store)).key != first.key
    # The same weights, read in another way, are another model.
    (tmp_path / "hf/preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    assert imported_of(known(recipe_with(tmp_path, tmp_path / "hf"), store)).key != first.key


def test_a_model_that_was_not_read_has_no_key_yet(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    store, path = Store(tmp_path / "store"), recipe_with(tmp_path, tmp_path / "hf")
    artifacts = plan(resolve(read_recipe(path), store))
    made = [item for item in artifacts if isinstance(item, ImportedModel | Codebook | Model)]
    assert len(made) == 3
    assert not any(item.is_known for item in made)
    with pytest.raises(CodedError, match="FOLDER_UNKNOWN"):
        store.path(made[0])
    assert all(item.is_known for item in plan(known(path, store)))
    (tmp_path / "hf/config.json").write_text((tmp_path / "hf/config.json").read_text() + " ")
    assert not imported_of(resolve(read_recipe(path), store)).is_known


def test_two_models_that_were_not_read_are_two(tmp_path: Path) -> None:
    path = recipe_with(tmp_path, tmp_path / "a", start=True)
    other = f'other: {{source: {{type: folder, path: "{tmp_path / "b"}"}}}}'
    path.write_text(
        path.read_text().replace("models: {", f"models: {{{other}, ").replace("{model: base}", "{model: other}")
    )
    assert [item.name for item in plan(read_recipe(path)) if isinstance(item, ImportedModel)] == ["other", "base"]


def test_a_pinned_model_is_compared_with_its_pin(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    content = content_of(find_model(tmp_path / "hf"), sha256_of)
    store = Store(tmp_path / "store")

    def pinned(digest: str) -> Path:
        path = recipe_with(tmp_path, tmp_path / "hf")
        path.write_text(path.read_text().replace("{type: folder,", f'{{type: folder, content: "{digest}",'))
        return path

    first = imported_of(known(pinned(content), store))
    with pytest.raises(CodedError, match=r"MODEL_CHANGED: the content of the model base is .* the recipe pins 0000"):
        known(pinned("0" * 64), store)
    with pytest.raises(CodedError, match="MODEL_CHANGED"):
        build_model(tmp_path / "hf", tmp_path / "out", content="0" * 64)
    shutil.rmtree(tmp_path / "hf")  # what is complete may lose its source, if it is pinned
    assert imported_of(resolve(read_recipe(pinned(content)), store)).key == first.key


def test_a_file_in_fairseq_layout_is_identified_by_its_sha256(tmp_path: Path) -> None:
    write_fairseq(lively(tiny_network()), tmp_path / "model.pt")
    facts = build_model(tmp_path / "model.pt", tmp_path / "out", content=sha256_of(tmp_path / "model.pt"))
    assert (facts.layout, facts.has_head, facts.num_clusters) == ("fairseq", True, 5)
    assert facts.sha256 == sha256_of(tmp_path / "out/model.safetensors")
    recipe = known(recipe_with(tmp_path, tmp_path / "model.pt"), Store(tmp_path / "store"))
    source = imported_of(recipe).spec.folder
    assert source is not None
    assert source.content == sha256_of(tmp_path / "model.pt")


def test_commands_that_read_no_model_say_what_does(tmp_path: Path) -> None:
    release(tiny_network(), tmp_path / "hf")
    store, path = Store(tmp_path / "store"), recipe_with(tmp_path, tmp_path / "hf")
    (tmp_path / "speech/ann/1.flac").write_bytes(b"")
    for corpus in (item for item in plan(known(path, store)) if isinstance(item, Corpus)):
        store.make(corpus, lambda _: Facts())
    (tmp_path / "hf/config.json").write_text((tmp_path / "hf/config.json").read_text() + " ")
    with pytest.raises(CodedError, match=r"FOLDER_UNKNOWN: the model base was not read.*wavlm run"):
        require_known(read_recipe(path), store)
