"""What a real MLflow server hands out: `models:/NAME@ALIAS` is what the card in it says, for three loaders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from transformers import WavLMModel

import wavlm
from tasks.register import sync
from tasks.registry.lookup import pull_model
from tests.mlflow_server import serve_mlflow
from tests.numerics import num_operations, require_close
from wavlm.nn import load_model

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.numeric,
    # mlflow.pyfunc warns while it is imported, of its own code.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture
def server(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a server of its own process on loopback, which keeps artifacts itself."""
    with serve_mlflow(tmp_path / "server", empty_registry / "mlflow.db") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


def test_a_registered_model_loads_as_its_card_says(
    make_store: Callable[[None], BuiltStore], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = make_store(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    sync(built.recipe, built.store)
    import mlflow

    mlflow.set_tracking_uri(server)
    reference = "models:/WavLM-tiny@candidate"
    folder = Path(mlflow.artifacts.download_artifacts(reference, dst_path=str(tmp_path / "downloaded")))
    second = built.models[1]
    original = load_model(built.store.path(second))
    waveforms = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = original.hidden_states(waveforms)
        (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        names: dict[str, WavLMModel] = {}
        exec(code.replace("path/to/this/folder", str(folder)), names)  # noqa: S102 - the card of our own model
        theirs = names["model"].eval()(waveforms, output_hidden_states=True).hidden_states
        ours = wavlm.load(folder).hidden_states(waveforms)
        native = wavlm.load(folder / "native").hidden_states(waveforms)
    features = mlflow.pyfunc.load_model(reference).predict(waveforms.numpy())

    assert features.dtype == np.float32
    assert features.shape == (second.network.num_layers + 1, *expected[0].shape)
    for found in (theirs, ours, native, list(torch.from_numpy(features))):
        for mine, state in zip(found, expected, strict=True):
            require_close(mine, state, num_operations(second.network, state.shape[1]))
    assert not list(folder.rglob("*.pkl"))
    assert wavlm.load(folder).num_clusters == original.num_clusters
    pulled = pull_model(built.store, "WavLM-tiny@candidate", tmp_path / "pulled")
    assert (pulled / "model.safetensors").read_bytes() == (folder / "native/model.safetensors").read_bytes()
    one = mlflow.pyfunc.load_model(str(folder)).unwrap_python_model  # a folder alone is enough
    assert callable(one)
    assert mlflow.pyfunc.load_model(reference).predict(waveforms[:1].numpy()).shape[1] == 1
    with pytest.raises(mlflow.MlflowException, match="shape"):  # one utterance is (1, N)
        mlflow.pyfunc.load_model(reference).predict(waveforms[0].numpy())
    with pytest.raises(mlflow.MlflowException, match="int16"):
        mlflow.pyfunc.load_model(reference).predict((waveforms.numpy() * 3000).astype(np.int16))
