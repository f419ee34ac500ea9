"""Models on disk: what is written comes back, what does not fit is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nn.networks import base, large, lively
from tests.tiny_specs import tiny_network
from wavlm.nn import ModelFileError, files, load_model, save_model
from wavlm.nn.description import WEIGHTS_FILE
from wavlm.nn.files import weights_of
from wavlm.nn.wavlm import WavLM
from wavlm.specs import NetworkSpec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(lively(large(special_symbols=4, dropout=0.1)), tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back_equal_and_in_eval_mode(folder: Path) -> None:
    written, read = lively(large(special_symbols=4, dropout=0.1)), load_model(folder)
    assert read.network == written.network
    assert read.num_clusters == written.num_clusters
    assert not read.training
    for (name, ours), (_, theirs) in zip(weights_of(written), weights_of(read), strict=True):
        assert torch.equal(ours, theirs), name


def test_a_file_holds_the_head_and_plain_names_even_from_a_wrapped_network(tmp_path: Path) -> None:
    network = lively(base())
    network.encoder.layers[1] = torch.compile(network.encoder.layers[1], backend="eager")
    save_model(network, tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert names == lively(base()).state_dict().keys()
    assert {"head.label_embeddings", "head.projection.weight"} <= names


def test_tensors_that_do_not_fit_are_named_with_both_shapes(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["mask_embedding"] = torch.zeros(3)
    weights["mystery"] = weights.pop("encoder.norm.bias")
    save_file(weights, path)
    with pytest.raises(ModelFileError) as error:
        load_model(folder)
    for fact in (
        str(path),
        "3 tensors do not fit",
        "mask_embedding: found (3,), expected (24,)",
        "encoder.norm.bias: missing",
        "mystery: not a tensor of this network",
    ):
        assert fact in str(error.value)


@pytest.mark.parametrize("harm", ["other names", "one per layer", "one missing"])
def test_layers_are_not_built_for_tensors_that_are_not_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """Building very many takes hours; as many small tensors of any name must not be enough."""
    network = tiny_network(num_layers=100)
    save_model(WavLM(network, 5), tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    if harm == "other names":
        weights = {f"t{number}": torch.zeros(1) for number in range(len(weights))}
    elif harm == "one per layer":
        weights = {f"encoder.layers.{number}.fc1.bias": torch.zeros(1) for number in range(200)}
    else:
        del weights[min(name for name in weights if name.startswith("encoder.layers.57."))]
    save_file(weights, path)
    built = []

    def build(spec: NetworkSpec, num_clusters: int, **_: object) -> WavLM:
        built.append(spec.num_layers)
        return WavLM(spec, num_clusters)

    monkeypatch.setattr(files, "WavLM", build)
    with pytest.raises(ModelFileError, match=r"and 100 layers is described, and the .* tensors are not those"):
        load_model(tmp_path)
    assert max(built, default=0) <= 1


def test_a_model_of_very_many_layers_comes_back(tmp_path: Path) -> None:
    written = WavLM(tiny_network(num_layers=70), 5)
    save_model(written, tmp_path)
    read = load_model(tmp_path)
    assert read.network.num_layers == 70
    assert torch.equal(read.encoder.layers[69].fc1.bias, written.encoder.layers[69].fc1.bias)


def test_a_cut_weights_file_is_refused_with_its_path(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=f"no complete safetensors file: .*; at {path}; "):
        load_model(folder)


def test_a_folder_without_a_network_file_is_refused(folder: Path) -> None:
    (folder / "network.json").unlink()
    with pytest.raises(ModelFileError, match=r"network\.json is missing"):
        load_model(folder)


def test_a_network_file_with_an_unknown_field_is_refused(folder: Path) -> None:
    path = folder / "network.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))
    with pytest.raises(ModelFileError, match="colour"):
        load_model(folder)


def test_the_same_network_gives_the_same_bytes_whatever_is_known_of_it(tmp_path: Path) -> None:
    """safetensors alone writes the entries of the header in another order each time."""
    network = WavLM(tiny_network(), 5)
    network.codebook, network.fresh_head = "b" * 64, True
    for number in range(12):
        save_model(network, tmp_path / str(number))
    assert len({(tmp_path / str(number) / WEIGHTS_FILE).read_bytes() for number in range(12)}) == 1
    again = load_model(tmp_path / "0")
    assert (again.codebook, again.fresh_head) == ("b" * 64, True)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in again.state_dict().items())
