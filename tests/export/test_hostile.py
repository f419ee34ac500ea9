"""Untrusted files: no code in them runs, and the sizes that they announce take no memory."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nn.networks import base, lively
from wavlm.export import ImportRefusedError, load
from wavlm.export.convstack import format_conv_stack, parse_conv_stack
from wavlm.export.fairseq import write_fairseq
from wavlm.export.hf import write_hf
from wavlm.nn import ModelFileError, save_model
from wavlm.specs import ConvLayer, paper_conv_layers


class Bomb:
    """Creates a marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    write_fairseq(lively(base()), tmp_path / "good.pt")
    content: dict[str, Any] = torch.load(tmp_path / "good.pt", weights_only=True)
    return content


def refusal(content: Any, path: Path) -> str:
    torch.save(content, path)
    with pytest.raises(ModelFileError) as error:
        load(path)
    assert str(path) in str(error.value) or "conv_feature_layers" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("place", ["cfg", "model"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(place: str, good: dict[str, Any], tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    good[place]["bomb"] = Bomb(marker)
    message = refusal(good, tmp_path / "bad.pt")
    assert "nothing in it was run" in message
    assert not marker.exists()
    torch.load(tmp_path / "bad.pt", weights_only=False)
    assert marker.exists()  # the file is dangerous when it is unpickled


def test_a_bomb_in_a_hugging_face_bin_file_is_not_run_either(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "wavlm"}')
    torch.save({"x": Bomb(tmp_path / "marker")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ImportRefusedError, match="nothing in it was run"):
        load(tmp_path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch marker')",
        "[(512,10,5)] + __import__('os')",
        "[(512,10,5)] * 999999",
        "[(512,10,5)] * 9 * 9",
        "[(512,10,5)] + " * 3,
        "[(512,10,5)] * 0",
        "[(512,0,5)]",
        "[(512,10)]",
        "[(512,10,-5)]",
        "[(99999999999,10,5)]",
        "[]",
        "",
        "[(512,10,5)] - [(512,3,2)]",
        "[(512,10,5)" + " " * 5000 + "]",
        "[" + "(1,1,1)," * 100 + "(1,1,1)]",
    ],
)
def test_conv_stacks_that_are_not_lists_of_small_integers_are_refused(
    text: str, good: dict[str, Any], tmp_path: Path
) -> None:
    good["cfg"]["conv_feature_layers"] = text
    assert "never evaluated" in refusal(good, tmp_path / "bad.pt")


def test_conv_stacks_are_read_as_fairseq_means_them() -> None:
    paper = paper_conv_layers()
    assert parse_conv_stack("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2") == paper
    assert parse_conv_stack("[(512, 10, 5)]+[(512,3,2)]*4+[(512,2,2)] + [(512,2,2),]") == paper
    pair = (ConvLayer(channels=8, kernel=4, stride=2), ConvLayer(channels=9, kernel=3, stride=1))
    assert parse_conv_stack(" [ (8,4,2), (9,3,1) ] * 2 ") == pair * 2
    for stack in (paper, pair * 3, pair[:1]):
        assert parse_conv_stack(format_conv_stack(stack)) == stack


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"encoder_embed_dim": 16_000, "encoder_ffn_embed_dim": 65_000}, "do not fit"),
        ({"encoder_embed_dim": 160_000}, "encoder_embed_dim"),
        ({"encoder_layers": 10**9}, "encoder_layers"),
        ({"max_distance": 10**12}, "max_distance"),
        ({"encoder_attention_heads": 7}, "not divisible by num_heads 7"),
        ({"activation_fn": "relu"}, "activation_fn"),
        ({"gru_rel_pos": False}, "expected both"),
        ({"conv_feature_layers": 5}, "conv_feature_layers"),
    ],
)
def test_a_cfg_that_describes_another_or_no_network_is_refused(
    change: dict[str, Any], expected: str, good: dict[str, Any], tmp_path: Path
) -> None:
    good["cfg"] |= change
    torch.save(good, tmp_path / "bad.pt")
    with pytest.raises(ModelFileError, match=expected):
        load(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"model": {}},
        {"cfg": 3, "model": {}},
        {"cfg": {}, "model": 3},
        {"cfg": {}, "model": {1: 2}},
    ],
)
def test_files_of_another_shape_are_refused(content: Any, tmp_path: Path) -> None:
    assert "expected a" in refusal(content, tmp_path / "bad.pt")


@pytest.mark.parametrize("blob", [b"", b"not a model", b"PK\x03\x04 cut"])
def test_files_that_are_no_torch_files_are_refused(blob: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    path.write_bytes(blob)
    with pytest.raises(ImportRefusedError, match=r"bad\.pt"):
        load(path)


def claim(shape: tuple[int, ...]) -> torch.Tensor:
    """One number that is said to be many."""
    return torch.zeros(1).expand(shape)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: claim(tuple(tensor.shape)),
        lambda tensor: torch.empty(tensor.shape, device="meta"),
        lambda tensor: tensor.to(torch.complex64),
        lambda tensor: tensor.to(torch.int64),
        lambda tensor: tensor.to_sparse(),
    ],
    ids=["steps of 0", "meta", "complex", "integers", "sparse"],
)
def test_tensors_that_are_not_numbers_of_the_file_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], good: dict[str, Any], tmp_path: Path
) -> None:
    """They were loaded: as nonsense, converted in silence, or as gigabytes made from four bytes."""
    good["model"] = {name: change(tensor) for name, tensor in good["model"].items()}
    assert "expected one of real numbers" in refusal(good, tmp_path / "bad.pt")


def test_a_shape_of_many_gigabytes_takes_no_memory(good: dict[str, Any], tmp_path: Path) -> None:
    good["model"]["post_extract_proj.weight"] = claim((50_000, 50_000))
    assert "(50000, 50000) with fewer numbers" in refusal(good, tmp_path / "bad.pt")


def change_json(path: Path, *keys: str, value: object) -> None:
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("num_layers", [10_000, 65_536, 10**9, 10**40])
def test_a_described_depth_is_not_built_before_it_is_compared(
    num_layers: int, good: dict[str, Any], tmp_path: Path
) -> None:
    """65,536 layers: no answer in half a minute, from a file of a few bytes."""
    model = lively(base())
    write_hf(model, tmp_path / "hf")
    change_json(tmp_path / "hf" / "config.json", "num_hidden_layers", value=num_layers)
    save_model(model, tmp_path / "own")
    change_json(tmp_path / "own" / "network.json", "network", "num_layers", value=num_layers)
    good["cfg"]["encoder_layers"] = num_layers
    torch.save(good, tmp_path / "fairseq.pt")
    for path, named in (("hf", "num_hidden_layers"), ("own", "layers is described"), ("fairseq.pt", "layers")):
        with pytest.raises(ModelFileError, match=named):
            load(tmp_path / path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_buckets", 10**40),
        ("width", 16 * 10**30),
        ("conv_layers", [{"channels": 8, "kernel": 3, "stride": 1}] * 20_000),
    ],
    ids=["buckets", "width", "convolutions"],
)
def test_a_network_file_of_impossible_sizes_is_refused(field: str, value: object, tmp_path: Path) -> None:
    save_model(lively(base()), tmp_path / "own")
    change_json(tmp_path / "own" / "network.json", "network", field, value=value)
    with pytest.raises(ModelFileError, match=r"no possible network|layers is described"):
        load(tmp_path / "own")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, "9" * 5000, "\xff\x00", ""], ids=range(5)
)
def test_descriptions_that_no_parser_likes_are_refused(text: str, tmp_path: Path) -> None:
    model = lively(base())
    for name in ("config.json", "preprocessor_config.json"):
        write_hf(model, tmp_path / name)
        (tmp_path / name / name).write_text(text, "latin-1")
    save_model(model, tmp_path / "network.json")
    (tmp_path / "network.json" / "network.json").write_text(text, "latin-1")
    for name in ("config.json", "preprocessor_config.json", "network.json"):
        with pytest.raises(ModelFileError, match=name):
            load(tmp_path / name)
