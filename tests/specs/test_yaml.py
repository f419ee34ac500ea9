"""Bad YAML is refused with file, line, field, what was found and what was expected."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from wavlm.specs import NetworkSpec
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_corpus, read_network, read_recipe

CORPUS = """\
name: tiny
role: speech
description: a test
homepage: none
license: CC0
citation: none
sources:
  - type: folder
    path: somewhere
    revision: "1"
layout:
  type: generic
"""
RECIPE = """\
name: tiny
description: a test
registry_name: tiny
speech: [tiny]
shards:
  min_seconds: 1.0
  max_seconds: 10
iterations:
  - codebook:
      features: {type: mfcc}
      num_clusters: 10
    mix: soft
    network:
      extractor_norm: group
      norm_first: false
      normalize_waveform: false
      width: 64
      ffn_width: 128
      num_layers: 2
      num_heads: 4
    train:
      updates: 10
      warmup_updates: 1
      peak_lr: 5e-4
      batch_seconds: 20
      group_seconds: 10
"""
INLINE = RECIPE[RECIPE.index("    network:") : RECIPE.index("    train:")]
NETWORK = dedent(INLINE.partition("\n")[2])


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    for folder in ("corpora", "mixes", "networks", "recipes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "corpora/tiny.yaml").write_text(CORPUS)
    (tmp_path / "mixes/soft.yaml").write_text("name: soft\nprobability: 0.2\n")
    (tmp_path / "networks/small.yaml").write_text(NETWORK)
    (tmp_path / "recipes/tiny.yaml").write_text(RECIPE)
    return tmp_path


def error_message(specs: Path, old: str, new: str, file: str = "recipes/tiny.yaml") -> str:
    """The error message after `old` is replaced by `new` in a file."""
    path = specs / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        read_recipe(specs / "recipes/tiny.yaml")
    return str(caught.value)


def test_names_of_corpora_and_mixes_are_replaced_by_their_content(specs: Path) -> None:
    recipe = read_recipe(specs / "recipes/tiny.yaml")
    assert recipe.speech[0].license == "CC0"
    assert recipe.iterations[0].mix is not None
    assert recipe.iterations[0].mix.probability == 0.2


def test_5e_4_is_a_number_and_no_is_a_string(specs: Path) -> None:
    assert read_recipe(specs / "recipes/tiny.yaml").iterations[0].train.peak_lr == 5e-4
    assert "norm_first" in error_message(specs, "norm_first: false", "norm_first: no")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "updates: 10",
            "update: 10",
            ("tiny.yaml:22:7", "no field 'update': did you mean updates?"),
        ),
        (
            "num_heads: 4",
            "num_heads: 5",
            ("tiny.yaml:20:7", "network.num_heads;", "width 64 is not divisible"),
        ),
        ("width: 64", "width: wide", ("tiny.yaml:17", "'wide'", "valid integer")),
        ("width: 64", "width: 64.5", ("tiny.yaml:17", "64.5", "valid integer")),
        ("peak_lr: 5e-4", "peak_lr: .nan", ("tiny.yaml:24", "peak_lr")),
        ("speech: [tiny]", "speech: [huge]", ("tiny.yaml:4", "'huge'", "expected one of tiny")),
        ("speech: [tiny]", "speech: tiny", ("tiny.yaml:4:1, speech;", "found 'tiny'", "valid array")),
        ("shards:", "noise: hum\nshards:", ("tiny.yaml:5:1, noise;", "found 'hum'", "valid array")),
        ("mix: soft", "mix: hard", ("tiny.yaml:12", "'hard'", "expected one of soft")),
        ("name: tiny", "name: tiny\nname: other", ("tiny.yaml", "duplicate")),
        (
            "type: mfcc",
            "type: plp",
            ("tiny.yaml:10:18", "features.type;", "'plp', expected one of mfcc"),
        ),
        ("description: a test", "description: &x a", ("tiny.yaml:2", "anchor")),
        ("description: a test", "description: [a", ("tiny.yaml", "not valid YAML")),
    ],
)
def test_an_error_names_file_line_and_field(specs: Path, old: str, new: str, expected: tuple[str, ...]) -> None:
    message = error_message(specs, old, new)
    for part in expected:
        assert part in message
    assert message.count("RECIPE: ") == 1  # one mistake, one message


def test_an_error_in_a_corpus_names_the_file_of_the_corpus(specs: Path) -> None:
    message = error_message(specs, "role: speech", "role: singing", "corpora/tiny.yaml")
    assert "found 'singing'" in message
    assert "corpora/tiny.yaml:2:1, role;" in message


def test_a_noise_corpus_is_refused_as_speech(specs: Path) -> None:
    message = error_message(specs, "role: speech", "role: noise", "corpora/tiny.yaml")
    assert "recipes/tiny.yaml:4:10, speech.0;" in message
    assert "expected one of role 'speech'" in message


def test_a_corpus_for_evaluations_is_never_trained_on(specs: Path) -> None:
    message = error_message(specs, "role: speech", "role: evaluation", "corpora/tiny.yaml")
    assert "recipes/tiny.yaml:4:10, speech.0;" in message
    assert "what models are scored on is never trained on" in message


@pytest.mark.parametrize(
    ("role", "field", "message"),
    [
        ("speech", '  class_pattern: "(?P<class>[a-z]+)"', "only a corpus of the role evaluation keeps targets"),
        ("evaluation", "valid_speakers: [ann]", "all of a corpus for evaluations is held out"),
        ("evaluation", '  partition_pattern: "[a-z]+"', "expected a group (?P<part>...)"),
        ("evaluation", "  class_column: word", "class_column needs a table transcripts"),
    ],
)
def test_a_role_has_the_fields_that_it_can_use(specs: Path, role: str, field: str, message: str) -> None:
    path = specs / "corpora/tiny.yaml"
    path.write_text(f"{CORPUS}{field}\n".replace("role: speech", f"role: {role}"))
    with pytest.raises(RecipeError) as caught:
        read_corpus(path)
    assert message in str(caught.value)


def test_a_corpus_has_the_name_of_its_file(specs: Path) -> None:
    (specs / "corpora/other.yaml").write_text(CORPUS)
    with pytest.raises(RecipeError, match="expected 'other', the name of its file"):
        read_corpus(specs / "corpora/other.yaml")


def test_what_is_no_system_is_refused_beside_one(specs: Path) -> None:
    """It was left out without a word, since the other one has a name."""
    message = error_message(specs, "iterations:\n", "finetune: [ks-small, 3]\niterations:\n")
    assert "found 3: Input should be an object" in message
    assert "finetune.1" in message


def test_code_in_yaml_is_not_run(specs: Path) -> None:
    message = error_message(specs, "min_seconds: 1.0", dedent('min_seconds: !!python/name:os.system ""'))
    assert "found a tag, expected plain values; at " in message


def test_a_huge_file_is_refused_before_it_is_read(specs: Path) -> None:
    (specs / "recipes/tiny.yaml").write_text("#" * (1 << 21))
    with pytest.raises(RecipeError, match="expected at most 1048576"):
        read_recipe(specs / "recipes/tiny.yaml")


def test_iteration_1_cannot_cluster_hidden_layers(specs: Path) -> None:
    message = error_message(specs, "{type: mfcc}", "{type: hidden, layer: 1}")
    assert "iteration 1 has no previous model" in message


def test_a_layer_that_no_model_has_is_refused_before_any_training(specs: Path) -> None:
    path = specs / "recipes/tiny.yaml"
    first = path.read_text()
    second = first[first.index("  - codebook") :].replace("type: mfcc", "type: hidden, layer: 3")
    path.write_text(first + second)
    message = error_message(specs, "a test", "two iterations")
    assert "iteration 2 clusters layer 3, but the model of iteration 1 has 2 layers" in message

    path.write_text(first)
    probe = "probe:\n  num_clusters: 10\n  layers: [1, 4]\nshards:"
    assert "layer 4, but a model has 2 layers" in error_message(specs, "shards:", probe)


def test_effects_that_cannot_be_applied_are_refused_before_any_training(specs: Path) -> None:
    mix, soft = specs / "mixes/soft.yaml", "name: soft\nprobability: 0.2\n"
    mix.write_text(soft + "effects: [{name: room, probability: 0.1}]\n")
    assert "has the effect room, but there are no rooms" in error_message(specs, "a test", "rooms")
    mix.write_text(soft + "effects: [{name: low_pass, probability: 0.1, minimum: 7900.0}]\n")
    message = error_message(specs, "rooms", "filters")
    assert "soft.yaml:3" in message
    assert "low_pass: minimum 7900.0 is above maximum 7500" in message


def with_network(specs: Path, network: str) -> NetworkSpec:
    """The network that is read from the recipe with another value of its field `network`."""
    path = specs / "recipes/tiny.yaml"
    path.write_text(RECIPE.replace(INLINE, f"    network: {network}\n"))
    return read_recipe(path).iterations[0].network


def test_a_network_is_written_out_or_named_or_a_preset_with_changes(specs: Path) -> None:
    written_out = read_recipe(specs / "recipes/tiny.yaml").iterations[0].network
    assert with_network(specs, "small") == written_out == read_network(specs / "networks/small.yaml")
    assert with_network(specs, "{preset: small}") == written_out
    changed = with_network(specs, "{preset: small, gated_bias: false, special_symbols: 4, width: 128}")
    changes = {"gated_bias": False, "special_symbols": 4, "width": 128}
    assert changed == NetworkSpec(**{**written_out.model_dump(), **changes})


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (
            "smal",
            (
                "tiny.yaml:13:5, iterations.0.network;",
                "found 'smal', expected one of small (",
                "base, large, mini, small, tiny, tiny-24khz, tiny-8khz, xlarge (",
            ),
        ),
        ("{preset: smal}", ("tiny.yaml:13:15, iterations.0.network.preset;", "found 'smal', expected one of small (")),
        ("\n      preset: smal", ("tiny.yaml:14:7, iterations.0.network.preset;", "found 'smal'")),
        ("\n      preset: [small]", ("tiny.yaml:14:7, iterations.0.network.preset;", "found ['small']")),
        (
            "\n      preset: small\n      widht: 64",
            ("tiny.yaml:15:7, iterations.0.network.widht;", "there is no field 'widht': did you mean width?"),
        ),
        (
            "\n      preset: small\n      width: wide",
            ("tiny.yaml:15:7, iterations.0.network.width;", "found 'wide'", "integer"),
        ),
        (
            "\n      preset: small\n      num_heads: 5",
            ("tiny.yaml:15:7", "network.num_heads;", "not divisible"),
        ),
        ("12", ("tiny.yaml:13:5, iterations.0.network;", "found 12: ", "object")),
    ],
)
def test_a_wrong_network_is_refused_with_the_line_of_the_recipe(
    specs: Path, network: str, expected: tuple[str, ...]
) -> None:
    with pytest.raises(RecipeError) as caught:
        with_network(specs, network)
    for part in expected:
        assert part in str(caught.value)


@pytest.mark.parametrize("network", ["small", "{preset: small, width: 128}"])
def test_an_error_in_a_preset_names_the_file_of_the_preset(specs: Path, network: str) -> None:
    (specs / "networks/small.yaml").write_text(NETWORK.replace("width: 64", "width: wide"))
    with pytest.raises(RecipeError) as caught:
        with_network(specs, network)
    assert str(caught.value).startswith("RECIPE: found 'wide': ")
    assert f"; at {specs}/networks/small.yaml:4:1, width; " in str(caught.value)


def test_the_corpora_beside_a_recipe_go_before_those_beside_its_folder(tmp_path: Path) -> None:
    """`wavlm init` writes corpora/ beside the recipe; another project may lie above."""
    shipped = (shipped_specs() / "corpora" / "musan.yaml").read_text()
    for folder, hours in ((tmp_path, 1.0), (tmp_path / "mine", 2.0)):
        (folder / "corpora").mkdir(parents=True)
        text = re.sub(r"(?m)^expected_hours:.*$", f"expected_hours: {hours}", shipped)
        (folder / "corpora" / "mine.yaml").write_text(
            text.replace("name: musan", "name: mine").replace("role: noise", "role: speech")
        )
    recipe = (shipped_specs() / "recipes" / "mini-librispeech.yaml").read_text()
    path = tmp_path / "mine" / "mine.yaml"
    path.write_text(recipe.replace("speech: [mini-librispeech]", "speech: [mine]"))
    assert read_recipe(path).speech[0].expected_hours == 2.0


def test_a_recipe_anywhere_may_name_shipped_corpora_mixes_and_networks(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = RECIPE.replace(INLINE, "    network: base\n").replace("mix: soft", "mix: wavlm-base")
    path.write_text(text.replace("speech: [tiny]", "speech: [librispeech-train-clean-100]"))
    recipe = read_recipe(path)
    assert recipe.speech[0].name == "librispeech-train-clean-100"
    assert recipe.iterations[0].mix is not None
    assert recipe.iterations[0].network == read_network(shipped_specs() / "networks/base.yaml")


def test_a_file_beside_the_recipe_is_preferred_to_a_shipped_one(specs: Path) -> None:
    (specs / "networks/base.yaml").write_text(NETWORK)
    assert with_network(specs, "base").width == 64


def test_an_unknown_name_is_refused_with_what_lies_beside_the_recipe_and_what_is_shipped(specs: Path) -> None:
    message = error_message(specs, "speech: [tiny]", "speech: [huge]")
    assert f"expected one of tiny ({specs}/corpora) or ami, ami-clips, " in message
    assert f"({shipped_specs()}/corpora)" in message


def test_a_bare_name_is_a_shipped_recipe_unless_there_is_such_a_file(
    specs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(specs / "recipes")
    shipped = read_recipe("demo")
    assert shipped == read_recipe(shipped_specs() / "recipes/demo.yaml")
    Path("demo").mkdir()  # a folder is no recipe
    assert read_recipe(Path("demo")) == shipped
    Path("demo").rmdir()
    Path("demo").write_text(RECIPE)
    assert read_recipe("demo").name == "tiny"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "dmeo",
            "no such file and no shipped recipe, expected a path or one of continue-base-plus, continue-large, demo, ",
        ),
        ("demo.yaml", "no such file, expected a YAML file of data_specs; at demo.yaml; "),
        ("recipes/demo", "no such file, expected a YAML file of data_specs; at recipes/demo; "),
    ],
)
def test_an_unknown_recipe_is_refused_and_a_path_is_only_a_path(
    path: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"RECIPE: {expected}")


@pytest.mark.parametrize("field", ["audio: /etc/*", "audio: ../*", "audio: ''", "phones: ../p.tsv"])
def test_a_layout_stays_below_the_root_of_its_corpus(specs: Path, field: str) -> None:
    message = error_message(specs, "type: generic", f"type: generic\n  {field}", "corpora/tiny.yaml")
    assert "corpora/tiny.yaml:13:3, layout" in message
    assert "expected a " in message
