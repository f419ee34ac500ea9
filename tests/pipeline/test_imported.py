"""What is said of models from elsewhere: in card, lineage, report, plan, summary and by house-keeping."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.plan import describe
from tasks.registry.lineage import Lineage, parent_keys, write_lineage
from tests.tasks.conftest import build, recipe_of
from wavlm.export.card import model_card
from wavlm.pipeline.artifacts import KINDS, Export, ImportedModel, Model, Registration
from wavlm.pipeline.cards import card_of
from wavlm.pipeline.cost import cost
from wavlm.pipeline.estimate import _core_seconds
from wavlm.pipeline.garbage.notes import archives_of, starts_of
from wavlm.pipeline.outcome import describe_outcome, title_of
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.report.graph import draw_graph
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import summarise
from wavlm.specs import HiddenFeatures, ModelFolder, ModelSpec, Recipe, StartSpec
from wavlm.storage.files import read_json


def recipe_with(path: Path) -> Recipe:
    """One iteration, whose labels and weights come from a model of somebody else."""
    source = ModelFolder(type="folder", path=str(path), content="a" * 64)
    spec = ModelSpec(source=source, license="CC BY-NC 4.0", homepage="https://example.org/base", citation="A. B.: C")
    recipe = recipe_of(None)
    first = recipe.iterations[0]
    features = HiddenFeatures(type="hidden", layer=2, model="base")
    codebook = first.codebook.model_copy(update={"features": features})
    first = first.model_copy(update={"codebook": codebook, "start": StartSpec(model="base")})
    return recipe.model_copy(update={"iterations": (first,), "models": {"base": spec}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Store]:
    root = tmp_path_factory.mktemp("made")
    recipe, store = recipe_with(root / "release"), Store(root / "store")
    for artifact in plan(recipe):
        if not isinstance(artifact, Registration):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    return recipe, store


def parts(made: tuple[Recipe, Store]) -> tuple[Recipe, Store, Model, ImportedModel]:
    recipe, store = made
    (model,) = models(plan(recipe))
    assert isinstance(model.start, ImportedModel)
    return recipe, store, model, model.start


def test_the_card_names_its_licence_and_that_what_it_learnt_from_is_not_known(made: tuple[Recipe, Store]) -> None:
    _, store, model, imported = parts(made)
    text = model_card(card_of(model, store), model.network)
    assert f"| base: {imported.spec.folder.path} | model | CC BY-NC 4.0 | https://example.org/base |" in text  # type: ignore[union-attr]
    assert "- A. B.: C" in text
    assert "What those weights were learnt from is not listed here" in text
    assert f"- `model/base-{imported.key}`" in text


def test_the_lineage_of_a_version_holds_key_and_licence(made: tuple[Recipe, Store], tmp_path: Path) -> None:
    recipe, store, model, imported = parts(made)
    card = tmp_path / "README.md"
    card.write_text("card")
    found = Lineage.model_validate(read_json(write_lineage(model, recipe, store, card, tmp_path)), strict=False)
    assert found.keys["model.base"] == imported.key
    assert {(item.kind, item.key) for item in found.artifacts} >= {("model", imported.key), ("pretrain", model.key)}
    assert {item.license for item in found.origins if item.role == "model"} == {"CC BY-NC 4.0"}
    keys = parent_keys(model)
    assert (keys["teacher.key"], keys["start.key"]) == (imported.key, imported.key)


def test_plan_summary_and_log_say_where_it_comes_from(made: tuple[Recipe, Store]) -> None:
    recipe, store, model, imported = parts(made)
    path = imported.spec.folder.path  # type: ignore[union-attr]
    assert list(describe(imported, store)) == [f"from {path}"]
    assert any(note.startswith(f"starts from base ({path}), head is ") for note in describe(model, store))
    said = f"Iteration 1 started from base ({path}), head is random."  # as the made-up facts of this store say
    assert said in summarise(plan(recipe), store).findings
    assert title_of(imported) == "model base"
    assert describe_outcome(imported, store).endswith(f"from {path} (hf layout); no head")


def test_the_graph_of_a_report_shows_it_with_lines_to_codebook_and_model(made: tuple[Recipe, Store]) -> None:
    _, _, model, imported = parts(made)
    graph = draw_graph(model, [Export(model)])
    (box,) = (item for item in graph.boxes if item.kind == "model")
    assert (box.title, box.artifacts) == ("base", (imported,))
    begins = [line.points[0] for line in graph.lines]
    assert sum(begin[1] == box.bottom[1] and box.x <= begin[0] <= box.x + 112 for begin in begins) == 2
    assert "clusters of model base. It started from the model base." in graph.words
    places = [(item.x, item.y) for item in graph.boxes]
    assert len(set(places)) == len(places)


def test_costs_are_counted_with_its_network(made: tuple[Recipe, Store]) -> None:
    recipe, store, model, _ = parts(made)
    (labels,) = (item for item in cost(recipe, store).stages if item.stage == "labels")
    assert labels.petaflops.known > 0
    assert model.codebook is not None
    assert _core_seconds(model.codebook, store, 1e9) > 0


def test_house_keeping_knows_its_place(made: tuple[Recipe, Store]) -> None:
    _, store, _, imported = parts(made)
    assert starts_of([imported]) == (imported.spec.folder.path,)  # type: ignore[union-attr]
    assert archives_of(imported, store) == ()
    assert KINDS.index("shards") < KINDS.index("model") < KINDS.index("codebook")
