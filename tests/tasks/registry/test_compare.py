"""Two versions side by side, and the readers of versions that earlier versions of the pipeline registered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from flows.cli import registry_tables
from tasks.register import sync
from tasks.registry.compare import compare
from tasks.registry.connection import connect
from tasks.registry.lookup import list_versions, show_model
from tasks.registry.words import SIGNATURE

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")]
NAME = "WavLM-tiny"


def test_versions_have_runs_texts_and_differences_that_people_can_read(built: BuiltStore) -> None:
    sync(built.recipe, built.store)
    client = connect(built.store).client
    first, second = list_versions(built.store, NAME)
    run = client.get_run(second.run_id)
    key = built.models[1].key
    assert run.info.run_name == f"tiny/iteration2/{key[:8]}"
    assert client.get_experiment(run.info.experiment_id).name == "wavlm/tiny"
    assert run.data.tags["wavlm.corpora"] == "voice"
    assert run.data.tags["mlflow.user"]
    assert run.data.tags["mlflow.source.name"] == "wavlm run tiny"
    words = client.get_model_version(NAME, "2").description
    assert "**Iteration 2 of the recipe `tiny`**: WavLM" in words
    assert "labels | layer 2, K=50, PNMI 0.4200" in words
    assert "labels made by | version 1" in words
    assert "two iterations" in client.get_registered_model(NAME).description
    card = (built.store.root / "registry/artifacts" / second.run_id / "artifacts/hf/README.md").read_text()
    assert "\n# WavLM-tiny, iteration 2\n" in card

    found = compare(built.store, f"{NAME}:1", f"{NAME}:2")
    rows = {row.name: row for row in found.metrics}
    assert (rows["valid/loss"].first, rows["valid/loss"].second) == (2.5, 2.0)
    assert rows["valid/loss"].change == -0.5
    assert rows["valid/loss"].note == "no comparison: other codebooks"
    assert rows["probe/pnmi"].note == ""
    assert {(item.name, item.first, item.second) for item in found.settings} == {
        ("codebook.features.layer", "", "2"),
        ("codebook.features.model", "", "null"),
        ("codebook.features.output", "", "residual"),
        ("codebook.features.type", "mfcc", "hidden"),
    }
    assert {item.name for item in found.lineage} == {"codebook", "labels.voice", "teacher.key", "teacher.version"}
    assert compare(built.store, f"{NAME}:1", f"{NAME}@iteration-1").lineage == ()
    assert json.loads(json.dumps(registry_tables.comparison_of(found)))["first"]["reference"] == first.reference


def test_what_a_person_wrote_is_left_and_what_an_earlier_version_tagged_is_read(built: BuiltStore) -> None:
    sync(built.recipe, built.store)
    client = connect(built.store).client
    client.update_model_version(NAME, "1", "Ours, for the paper.")
    before = show_model(built.store, f"{NAME}:1").versions[0]
    # As an earlier version of the pipeline left it: each key a tag, and no file.
    client.delete_model_version_tag(NAME, "1", "sha256.lineage.json")
    for name, key in before.lineage.items():
        client.set_model_version_tag(NAME, "1", name, key)
    assert show_model(built.store, f"{NAME}:1").versions[0].lineage == before.lineage

    # Somebody cleaned up.
    client.delete_experiment(client.get_run(before.run_id).info.experiment_id)
    built.store.redo(built.registrations[0])
    assert len(sync(built.recipe, built.store)) == 1
    assert client.get_model_version(NAME, "1").description == "Ours, for the paper."
    assert SIGNATURE in client.get_model_version(NAME, "2").description
    assert len(list_versions(built.store, NAME)) == 2


@pytest.mark.full
def test_a_lineage_that_was_changed_is_named_and_hides_nothing(built: BuiltStore) -> None:
    sync(built.recipe, built.store)
    second = list_versions(built.store, NAME)[1]
    path = built.store.root / "registry/artifacts" / second.run_id / "artifacts/hf/lineage.json"
    path.write_text(path.read_text().replace("voice", "noise"))
    newest, oldest = show_model(built.store, NAME).versions
    assert "MODEL_TAMPERED" in newest.lineage["lineage.json"]
    assert newest.metrics["valid/loss"] == 2.0
    assert oldest.lineage["codebook"] == built.models[0].labels[0].codebook.key
