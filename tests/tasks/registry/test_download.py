"""What a real MLflow server hands out: `models:/NAME@ALIAS` is what the card in it says, for three loaders."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
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
from tests.numerics import num_operations, require_close
from tests.waiting import wait_until
from wavlm.nn import load_model

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.numeric,
    # mlflow.pyfunc warns while it is imported, of its own code.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


def answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture
def server(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a server of its own process on loopback, which keeps artifacts itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copyfile(empty_registry / "mlflow.db", folder / "mlflow.db")
    uri = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        try:
            wait_until(lambda: answers(uri) or process.poll() is not None, "the MLflow server")
            assert process.poll() is None, (folder / "log").read_text()
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            yield uri
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # it holds nothing that anyone needs
            process.wait()


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
