"""ONNX graphs give torch's frames for any batch and length, and run where there is no torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from torch import Tensor

import wavlm
from tests.nn.networks import base, large, lively
from wavlm.errors import ServiceMissingError, UsageError
from wavlm.evaluation.onnx_export import export_onnx
from wavlm.export.onnx.plain import PlainNetwork
from wavlm.export.onnx.run import OnnxNetwork
from wavlm.export.onnx.write import outputs_of, write_int8, write_onnx
from wavlm.nn import WavLM, save_model
from wavlm.specs.shapes import num_frames
from wavlm.storage.files import sha256_of

pytestmark = pytest.mark.numeric

NETWORKS = {
    "base": base(layer_drop=0.5, dropout=0.1),
    "large": large(normalize_waveform=True, conv_bias=True),
    "hubert": base(gated_bias=False, num_layers=1),
}
LENGTHS = (400, 719, 720, 6001, 20_000)
# Runs in a process where `import torch` fails.
WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "wavlm"):
            raise ImportError(name + " is not to be imported")

sys.meta_path.insert(0, NoTorch())
import numpy as np, onnxruntime

folder = sys.argv[1]
given = np.load(folder + "/given.npz")
session = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
for number in range(len(given.files) // 2):
    inputs = {"waveforms": given[f"waveforms{number}"], "num_samples": given[f"num_samples{number}"]}
    np.savez(f"{folder}/found{number}.npz", **dict(zip(names, session.run(None, inputs))))
assert "torch" not in sys.modules
"""


def batches() -> list[tuple[Tensor, Tensor]]:
    """Five lengths, alone and in threes of which the others are shorter and padded with noise."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for length in LENGTHS:
        for batch in (1, 3):
            counts = [length, max(400, length // 2 + 7), max(400, length - 1)][:batch]
            found.append((0.1 * torch.randn(batch, length, generator=generator), torch.tensor(counts)))
    return found


def frames_alone(model: WavLM, waveform: Tensor) -> list[Tensor]:
    """The reference: each utterance by itself, without padding, as `wavlm.load` gives it."""
    with torch.inference_mode():
        states = model.hidden_states(waveform)
        return [*states, model.encoder.final(states[-1])]


def largest_difference(model: WavLM, batch: tuple[Tensor, Tensor], found: list[np.ndarray]) -> float:
    *states, counts = found
    worst = 0.0
    for row, length in enumerate(batch[1].tolist()):
        assert counts[row] == num_frames(length, model.network.conv_layers)
        for ours, theirs in zip(frames_alone(model, batch[0][row, :length]), states, strict=True):
            valid = torch.as_tensor(theirs[row, : counts[row]])
            worst = max(worst, float((ours - valid).abs().max()))
    return worst


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_plain_operators_give_each_utterance_of_a_padded_batch_the_frames_it_has_alone(network) -> None:
    model = lively(network, num_clusters=7).eval()
    plain = PlainNetwork(model, range(network.num_layers + 1)).eval()
    with torch.inference_mode():
        for waveforms, counts in batches():
            found = [output.numpy() for output in plain(waveforms, counts)]
            assert largest_difference(model, (waveforms, counts), found) <= 1e-4


@pytest.mark.full
@pytest.mark.parametrize("name", ["base", "large"])
def test_a_graph_gives_torchs_frames_for_all_lengths_and_batches_in_a_process_without_torch(
    name: str, tmp_path: Path
) -> None:
    network = NETWORKS[name]
    model = lively(network, num_clusters=7).eval()
    write_onnx(model, tmp_path, range(network.num_layers + 1))
    given = batches()
    waveforms = {f"waveforms{number}": batch[0].numpy() for number, batch in enumerate(given)}
    counts = {f"num_samples{number}": batch[1].numpy() for number, batch in enumerate(given)}
    np.savez(tmp_path / "given.npz", **waveforms, **counts)
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)], check=True)
    for number, batch in enumerate(given):
        found = np.load(tmp_path / f"found{number}.npz")
        rows = [found[output] for output in outputs_of(range(network.num_layers + 1))]
        assert largest_difference(model, batch, rows) <= 1e-4


@pytest.mark.full
def test_an_export_states_its_drift_on_speech_and_int8_touches_products_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its weights in a second file, as those of more than 2 GB have to be."""
    monkeypatch.setattr("wavlm.export.onnx.write.LARGEST_FILE", 1000)
    model = lively(base(num_layers=1), num_clusters=7).eval()
    save_model(model, tmp_path / "model")
    (tmp_path / "speech").mkdir()
    noise = np.random.default_rng(0).normal(scale=0.1, size=8000).astype(np.float32)
    soundfile.write(tmp_path / "speech" / "noise.wav", noise, 16000, subtype="FLOAT")
    facts = export_onnx(tmp_path / "model", tmp_path / "onnx", [1], int8=True, speech=tmp_path / "speech")
    card = (tmp_path / "onnx" / "README.md").read_text()
    by_file = {drift.file: {it.output: it for it in drift.outputs} for drift in facts.drift}
    assert list(by_file) == ["model.onnx", "model.int8.onnx"]
    assert by_file["model.onnx"]["hidden_state_1"].labels_kept > 0.99
    assert 1e-4 < by_file["model.int8.onnx"]["hidden_state_1"].relative_difference < 0.5
    assert f"{100 * by_file['model.int8.onnx']['hidden_state_1'].labels_kept:.2f} %" in card
    assert json.loads((tmp_path / "onnx" / "onnx.json").read_text())["opset"] == facts.opset
    whole, quantised = (onnx.load(tmp_path / "onnx" / name).graph.node for name in facts.megabytes)
    for name in facts.megabytes:
        assert (tmp_path / "onnx" / f"{name}.data").stat().st_size > 10_000
        assert facts.sha256[f"{name}.data"] == sha256_of(tmp_path / "onnx" / f"{name}.data")
    count = lambda nodes, kind: sum(node.op_type == kind for node in nodes)  # noqa: E731
    assert count(quantised, "Conv") == count(whole, "Conv") > 0
    assert count(quantised, "MatMulInteger") == 1 + 4 * 1  # projection; qkv, out, fc1, fc2
    assert count(quantised, "MatMul") == 2  # queries with keys, weights with values
    # The drift that is stated is the one that a reader finds.
    waveform = soundfile.read(next((tmp_path / "speech").rglob("*.wav")), dtype="float32")[0]
    theirs = OnnxNetwork(tmp_path / "onnx" / "model.int8.onnx").states_of(waveform)["hidden_state_1"]
    ours = frames_alone(wavlm.load(tmp_path / "model"), torch.from_numpy(waveform))[1].numpy()
    assert np.abs(ours - theirs).max() <= by_file["model.int8.onnx"]["hidden_state_1"].largest_difference + 1e-6


def test_a_missing_package_and_a_missing_layer_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively(base(num_layers=1), num_clusters=7)
    with pytest.raises(UsageError, match="layer 2, expected 0 to 1"):
        write_onnx(model, tmp_path, [2])
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ServiceMissingError, match=r"pip install 'wavlm-pipeline\[onnx\]'"):
        write_onnx(model, tmp_path, [1])
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(ServiceMissingError, match=r"onnxruntime\.quantization cannot be imported"):
        write_int8(tmp_path)
    assert not any(tmp_path.iterdir())
