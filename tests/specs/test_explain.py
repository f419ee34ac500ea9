"""A wrong file is explained: one line per mistake, its place, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from wavlm.specs import CorpusSpec, MixSpec, NetworkSpec, Recipe
from wavlm.specs.lookup import suggest
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_corpus, read_mix, read_network, read_recipe

CORPUS = """name: voices
role: speech
description: x
homepage: x
license: x
citation: x
sources:
  - {type: folder, path: somewhere}
layout:
  type: generic
  speaker: "^(?P<speaker>[^/]+)/"
"""
RECIPE = """name: small
description: x
registry_name: small
speech: [voices]
shards: {min_seconds: 0.4, max_seconds: 4.0}
gate:
  metric: valid/loss
iterations:
  - codebook:
      features: {type: mfcc}
      num_clusters: 8
    network: tiny
    train:
      updates: 30
      warmup_updates: 2
      peak_lr: 1e-3
      batch_seconds: 8.0
      group_seconds: 8.0
      max_crop_seconds: 2.0
"""


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    for path, text in (("corpora/voices.yaml", CORPUS), ("recipes/small.yaml", RECIPE)):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    return tmp_path


def refuse(specs: Path, old: str, new: str, name: str = "recipes/small.yaml") -> list[str]:
    path = specs / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        read_recipe(specs / "recipes" / "small.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("old", "new", "place", "field", "message"),
    [
        ("registry_name", "registy_name", "3:1", "registy_name", "did you mean registry_name?"),
        ("min_seconds", "min_second", "5:10", "shards.min_second", "did you mean min_seconds?"),
        ("peak_lr", "peek_lr", "16:7", "iterations.0.train.peek_lr", "did you mean peak_lr?"),
        ("valid/loss", "valid/los", "7:3", "gate.metric", "did you mean valid/loss?"),
        ("type: mfcc", "type: hiden", "10:18", "iterations.0.codebook.features.type", "did you mean hidden?"),
        ("{type: mfcc}", "{layer: 3}", "10:7", "iterations.0.codebook.features", "'type' is required"),
        ("[voices]", "[voces]", "4:10", "speech.0", "did you mean voices?"),
        ("network: tiny", "network: tinny", "12:5", "iterations.0.network", "did you mean tiny?"),
        ("network: tiny", "network: tiny\n    mix: robbust", "13:5", "iterations.0.mix", "did you mean robust?"),
        ("network: tiny", "network: tiny\n    speech: [voice]", "13:14", "speech.0", "did you mean voices?"),
        ("updates: 30", "updates: 1", "15:7", "train.warmup_updates", "warmup_updates 2 is above updates 1"),
        ("group_seconds: 8", "group_seconds: 9", "18:7", "train.group_seconds", "group_seconds 9.0 is above"),
        ("metric: valid/loss", "higher_is_better: true", "7:3", "gate.higher_is_better", "belong to one metric"),
        ("{type: mfcc}", "{type: hidden, layer: 1}", "10:7", "codebook.features", "iteration 1 has no previous model"),
        ("mfcc}\n", "mfcc}\n      shares: [1]\n", "11:7", "codebook.shares", "found 1 shares, expected 0"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line_with_its_place(
    specs: Path, old: str, new: str, place: str, field: str, message: str
) -> None:
    (line,) = refuse(specs, old, new)
    what, where, advice = line.split("; ")
    assert what.startswith("RECIPE: ")
    assert message in what
    assert where.startswith(f"at {specs}/recipes/small.yaml:{place}, ")
    assert where.endswith(field)
    assert advice == "correct the file"


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("type: folder", "type: foldr", "8:6", "did you mean folder?"),
        ("path: somewhere", "paht: somewhere", "8:20", "did you mean path?"),
        ("path: somewhere", "path: 5", "8:20", "valid string"),
        ("role: speech", "role: Speech", "2:1", "did you mean speech?"),
        ("type: generic", "type: librispech", "10:3", "did you mean librispeech?"),
        ('speaker: "^(?P<speaker>[^/]+)/"', "speakr: x", "11:3", "did you mean speaker?"),
        ('speaker: "^(?P<speaker>[^/]+)/"', 'speaker: "("', "11:3", "not a regular expression"),
        ('speaker: "^(?P<speaker>[^/]+)/"', "only_listed: true", "11:3", "only_listed needs a table"),
    ],
)
def test_a_mistake_in_a_corpus_is_one_line_with_its_place(
    specs: Path, old: str, new: str, place: str, message: str
) -> None:
    (line,) = refuse(specs, old, new, "corpora/voices.yaml")
    assert message in line
    assert f"corpora/voices.yaml:{place}, " in line


def test_several_mistakes_are_as_many_lines(specs: Path) -> None:
    lines = refuse(specs, "    train:\n      updates: 30", "    trian:\n      updats: 30")
    assert len(lines) == 1  # what is in it is not looked at
    (specs / "recipes/small.yaml").write_text(RECIPE.replace("updates: 30", "updats: 30").replace("peak_lr", "peek_lr"))
    assert len(refuse(specs, "registry_name", "name_in_registry")) == 4  # this one looks like no field: two lines


def test_a_mistyped_path_names_its_neighbour(specs: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean small"):
        read_recipe(specs / "recipes" / "smal.yaml")
    with pytest.raises(RecipeError, match="did you mean wavlm-base"):
        read_recipe("wavlm-bas")


def models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        yield from _in_annotation(field.annotation)


def _in_annotation(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from models_below(annotation)
    for argument in get_args(annotation):
        yield from _in_annotation(argument)


ALL = {model for root in (Recipe, CorpusSpec, MixSpec, NetworkSpec) for model in models_below(root)}


@pytest.mark.parametrize("model", sorted(ALL, key=lambda model: model.__name__), ids=lambda model: model.__name__)
def test_every_field_is_found_from_a_slip_of_the_finger(model: type[BaseModel]) -> None:
    """Two letters exchanged, or one left out. Names of three letters and less have no near ones."""
    for name in model.model_fields:
        slips = {name[:2] + name[3] + name[2] + name[4:], name[:-1]} if len(name) > 4 else set()
        for slip in slips - set(model.model_fields):
            assert suggest(slip, model.model_fields) == f"did you mean {name}?", slip


@pytest.mark.parametrize("read", [read_corpus, read_mix, read_network, read_recipe])
def test_every_file_is_explained_by_the_same_code(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "recipes" / "x.yaml"
    path.parent.mkdir()
    path.write_text("nmae: x\n")
    with pytest.raises(RecipeError, match=r"x\.yaml:1:1, "):
        read(path)
