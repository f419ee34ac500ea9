"""The `MLmodel` file of a version: how `mlflow.pyfunc` loads it, and the form of its input and output."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np

from tasks.registry.versions import MODEL_FOLDER
from wavlm.pipeline.artifacts import Model
from wavlm.specs.frames import sample_rate_of

MLMODEL_FILE = "MLmodel"
LOADER_MODULE = "wavlm.export.pyfunc"


def write_mlmodel(model: Model, run_id: str, folder: Path) -> Path:
    """Write the file for a model; returns its path. MLflow finds the module by name, so `wavlm` must be installed."""
    from mlflow.models.model import Model as MlflowModel
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    rate_hz = sample_rate_of(model.network)
    waveforms = TensorSpec(np.dtype(np.float32), (-1, -1))
    states = TensorSpec(np.dtype(np.float32), (model.network.num_layers + 1, -1, -1, model.network.width))
    described = MlflowModel(
        artifact_path=MODEL_FOLDER,
        run_id=run_id,
        signature=ModelSignature(Schema([waveforms]), Schema([states])),
        metadata={
            "wavlm.key": model.key,
            "input": f"waveforms (utterances, samples), {rate_hz} Hz, mono, in [-1, 1], without padding",
            "output": "hidden states (1 + layers, utterances, frames, width): the encoder's input, then each layer",
        },
    )
    # By hand: `mlflow.pyfunc.add_to_model` writes the same, but importing that module takes seconds and warns.
    described.add_flavor("python_function", loader_module=LOADER_MODULE, python_version=platform.python_version())
    path = folder / MLMODEL_FILE
    described.save(str(path))
    return path
