"""What MLflow reads of a version: the loader, the form of input and output, and both in words."""

from __future__ import annotations

from pathlib import Path

import yaml

from tasks.registry.mlmodel import write_mlmodel
from tests.tasks.conftest import recipe_of
from wavlm.pipeline.plan import models, plan


def test_the_file_names_loader_input_and_output(tmp_path: Path) -> None:
    model = models(plan(recipe_of(None)))[0]
    found = yaml.safe_load(write_mlmodel(model, "0123abcd", tmp_path).read_text())
    assert sorted(found["metadata"]) == ["input", "output", "wavlm.key"]
    assert found["metadata"]["wavlm.key"] == model.key
    assert found["metadata"]["input"].startswith("waveforms (utterances, samples), 16000 Hz")
    assert found["metadata"]["output"].startswith("hidden states (1 + layers, utterances, frames, width)")
    assert found["flavors"]["python_function"]["loader_module"] == "wavlm.export.pyfunc"
    assert found["run_id"] == "0123abcd"
