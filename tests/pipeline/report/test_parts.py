"""Parts of a report: long curves, excerpts, the graph, the script that repeats a model."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.report.stores import SECOND, MadeStore, recipe_of
from tests.pipeline.report.stores import Size as StoreSize
from wavlm.pipeline.artifacts import Export, Mixtures, Scores
from wavlm.pipeline.curves import Curve
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.report.decimate import decimate
from wavlm.pipeline.report.graph import BOX_HEIGHT, BOX_WIDTH, WIDTH, draw_graph
from wavlm.pipeline.report.listening import gather_mixtures
from wavlm.pipeline.report.repeat import files, write_script
from wavlm.specs.yaml import read_recipe


def test_a_long_curve_keeps_its_ends_and_every_peak() -> None:
    values = np.sin(np.arange(10_007) / 300)
    values[1234], values[7001] = 50.0, -50.0
    curve = decimate(Curve("x", tuple(range(0, 20_014, 2)), tuple(map(float, values))), most=100)
    assert len(curve.steps) <= 100
    assert (curve.steps[0], curve.steps[-1]) == (0, 20_012)
    points = dict(zip(curve.steps, curve.values, strict=True))
    assert (points[2 * 1234], points[2 * 7001]) == (50.0, -50.0)
    assert all(points[step] == values[step // 2] for step in curve.steps)
    assert list(curve.steps) == sorted(set(curve.steps))


def test_a_short_curve_stays_as_it_is() -> None:
    curve = Curve("x", (1, 2, 3), (3.0, 1.0, 2.0))
    assert decimate(curve, most=3) is curve


def test_an_excerpt_holds_what_was_mixed_in(made: MadeStore) -> None:
    """In the last half second of each mixture there is a tone, and the excerpt says where."""
    (mixtures,) = [item for item in made.find(Mixtures) if isinstance(item, Mixtures)]
    found = gather_mixtures(mixtures, made.store)
    assert found is not None
    assert [pair.name for pair in found.pairs] == ["00000-utt", "00001-utt", "00002-utt", "codec", "gain"]
    for pair in found.pairs[:3]:
        assert pair.truth is not None
        added = np.abs(pair.mixed - pair.clean) > 1e-3
        start = pair.truth.start_samples - round(pair.start_s * SECOND)
        assert not added[:start].any()
        assert added[start:].mean() > 0.9


def test_a_long_mixture_is_cut_where_something_was_mixed_in(tmp_path: Path) -> None:
    from tests.pipeline.report.stores import make_store

    made = make_store(tmp_path, StoreSize(speech=1, pair_seconds=9.0))
    (mixtures,) = [item for item in made.find(Mixtures) if isinstance(item, Mixtures)]
    found = gather_mixtures(mixtures, made.store)
    assert found is not None
    pair = found.pairs[0]
    assert len(pair.clean) == 5 * SECOND
    assert pair.start_s == 4.0
    assert np.abs(pair.mixed - pair.clean)[-SECOND // 2 :].mean() > 0.1


def test_the_graph_has_every_artifact_of_the_lineage_and_no_box_over_another(made: MadeStore) -> None:
    model = made.models[1]
    scores = [item for item in made.find(Scores) if isinstance(item, Scores) and item.model.key == model.key]
    graph = draw_graph(model, [*scores, Export(model)])
    titles = [box.title for box in graph.boxes]
    assert titles == [
        *("speech", "noise", "codebook", "labels", "model 1", "codebook", "labels", "model 2"),
        *("mixtures", "scores", "export"),
    ]
    for one, other in combinations(graph.boxes, 2):
        apart = abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
        assert apart, (one.title, other.title)
    for box in graph.boxes:
        assert 0 <= box.x <= WIDTH - BOX_WIDTH
        assert 0 <= box.y <= graph.height - BOX_HEIGHT
    ends = {(line.points[0], line.points[-1]) for line in graph.lines}
    model1, codebook2 = graph.boxes[4], graph.boxes[5]
    assert any(start[1] == model1.bottom[1] and end == codebook2.top for start, end in ends), (
        "the codebook of iteration 2 comes from model 1"
    )
    assert "Model 2 was trained on labels of 3 corpora, with noise or rooms added" in graph.words
    assert "codebook of 20 clusters of model 1" in graph.words
    for number, text in ((3, "of 3 corpora"), (2, "of 2 corpora"), (1, f"of {model.labels[0].name}")):
        fewer = draw_graph(replace(model, data=model.data[:number]), [])
        assert [box.text for box in fewer.boxes if box.title == "labels"][-1] == text


def test_the_script_writes_a_recipe_that_plans_the_same_artifacts(tmp_path: Path) -> None:
    """Run by a real shell. The texts of this recipe hold quotes, `$(...)` and backquotes, which it must not run."""
    recipe = recipe_of(StoreSize())
    script = write_script(recipe, {"python": "3.11.7", "git": None, "torch": "2.13.0+cpu", "faiss-cpu": None})
    lines = script.splitlines()
    assert "# The commit of the code is not known." in lines
    assert "pip install -e '.[pipeline]' torch==2.13.0  # Python 3.11.7" in lines
    assert lines[-1] == "wavlm run again/recipes/small.yaml --store again/store"
    quiet = "\n".join(line for line in lines if not line.startswith(("pip install", "wavlm run")))
    subprocess.run(["bash", "-euc", quiet], cwd=tmp_path, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]
    again = read_recipe(tmp_path / "again/recipes/small.yaml")
    assert [item.key for item in plan(again)] == [item.key for item in plan(recipe)]
    assert models(plan(again))[1].train == models(plan(recipe))[1].train


def test_the_script_names_the_commit_and_says_so_if_it_is_not_all() -> None:
    recipe = recipe_of(StoreSize())
    commit = "c12e6469e872def47b04284f4696d0c77df3e276"
    assert f"git checkout {commit}\n" in write_script(recipe, {"git": commit, "python": "3.11"})
    dirty = write_script(recipe, {"git": f"{commit}-dirty", "python": "3.11"})
    assert "git checkout" not in dirty
    assert f"# The code was commit {commit}, with changes that are in no commit." in dirty


def test_the_script_holds_no_password() -> None:
    texts = files(recipe_of(StoreSize()))
    assert not any("secret" in text for text in texts.values())
    assert "https://example.org/a.tar" in texts["corpora/speech-00.yaml"]


@pytest.mark.parametrize("name", ["demo", "wavlm-large"])
def test_the_script_of_a_shipped_recipe_plans_the_same(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    for path, text in files(recipe).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert read_recipe(tmp_path / f"recipes/{name}.yaml") == recipe
