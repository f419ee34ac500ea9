"""Before its first update a continued model is its source: hidden states as of transformers, and the same loss."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from tests.nn.networks import in_transformers, lively
from tests.tiny_specs import tiny_large_network, tiny_network, tiny_training
from wavlm.errors import BadDataError
from wavlm.execution.job import StartWeights, TrainJob
from wavlm.export.hf import write_hf
from wavlm.export.imported import build_model
from wavlm.nn import WavLM, save_model
from wavlm.specs import NetworkSpec
from wavlm.specs.shapes import num_frames
from wavlm.storage.files import sha256_of
from wavlm.train.start import build_network

STILL = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "input_dropout": 0.0, "layer_drop": 0.0}
NETWORKS = {"base": tiny_network(**STILL), "large": tiny_large_network(**STILL)}
CLUSTERS, BOOK, OTHER_BOOK = 12, "b" * 64, "c" * 64


def job(network: NetworkSpec, start: Path, codebook: str = BOOK) -> TrainJob:
    weights = StartWeights(folder=start, sha256=sha256_of(start / "model.safetensors"))
    return TrainJob(
        key="0", out=start / "out", network=network, train=tiny_training(), num_clusters=CLUSTERS, codebook=codebook,
        data=(), start=weights,
    )  # fmt: skip


def source(network: NetworkSpec, folder: Path) -> WavLM:
    """A model as an iteration before left it: its head was trained for the labels of `BOOK`."""
    model = lively(network, CLUSTERS)
    model.codebook = BOOK
    save_model(model, folder)
    return model


@pytest.mark.parametrize("style", NETWORKS)
def test_hidden_states_are_those_of_transformers(style: str, tmp_path: Path) -> None:
    network = NETWORKS[style]
    in_transformers(lively(network)).save_pretrained(tmp_path / "hf")
    build_model(tmp_path / "hf", tmp_path / "model")
    ours, head = build_network(job(network, tmp_path / "model"))
    waveforms = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))
    given = functional.layer_norm(waveforms, waveforms.shape[1:]) if network.normalize_waveform else waveforms
    from transformers import AutoModel

    with torch.inference_mode():
        states = ours.eval().hidden_states(waveforms)
        theirs = AutoModel.from_pretrained(tmp_path / "hf").eval()(given, output_hidden_states=True).hidden_states
    assert head == "fresh"
    for number in range(network.num_layers):  # of the last layer transformers gives the norm that follows, or not
        atol = 1e-5 * float(theirs[number].abs().max())
        torch.testing.assert_close(states[number], theirs[number], atol=atol, rtol=0)


@pytest.mark.parametrize("style", NETWORKS)
@pytest.mark.parametrize("way", ["model", "hf"])
def test_a_kept_head_gives_the_loss_of_its_source(style: str, way: str, tmp_path: Path) -> None:
    network = NETWORKS[style]
    model = source(network, tmp_path / "model").train()
    if way == "hf":
        write_hf(model, tmp_path / "hf")
        build_model(tmp_path / "hf", tmp_path / "again")
    ours, head = build_network(job(network, tmp_path / ("model" if way == "model" else "again")))
    generator = torch.Generator().manual_seed(1)
    shape = (2, num_frames(4000, network.conv_layers))
    batch = SimpleNamespace(
        waveforms=0.1 * torch.randn(2, 4000, generator=generator),
        labels=torch.randint(CLUSTERS, shape, generator=generator),
        mask=torch.rand(shape, generator=generator) < 0.5,
    )
    expected, found = (float(one.forward_pretrain(batch).masked.loss.detach()) for one in (model, ours))
    assert head == "kept"
    assert found == pytest.approx(expected, rel=1e-6)
    other, head = build_network(job(network, tmp_path / "model", OTHER_BOOK))
    assert head == "fresh"
    assert float(other.forward_pretrain(batch).masked.loss.detach()) != pytest.approx(expected, rel=1e-2)


def test_other_bytes_than_the_recipe_says_are_refused(tmp_path: Path) -> None:
    source(NETWORKS["base"], tmp_path / "model")
    wanted = job(NETWORKS["base"], tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadDataError, match="the recipe expects"):
        build_network(wanted)
