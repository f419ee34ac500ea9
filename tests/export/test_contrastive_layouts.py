"""wav2vec 2.0 in both other layouts: the same bytes back, and the same loss in transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2ForPreTraining

import wavlm
from tests.export.test_layouts import CARD, assert_same_model
from tests.nn.networks import base, large
from wavlm.export import ImportRefusedError, build_export, import_model
from wavlm.export.card import model_card
from wavlm.nn import Contrast, WavLM, load_model, save_model
from wavlm.nn.files import weights_of
from wavlm.nn.start import Labelling, check_start
from wavlm.specs import NetworkSpec, QuantizerSpec
from wavlm.specs.shapes import num_frames

pytestmark = pytest.mark.numeric

BASE, LARGE = base(gated_bias=False, attention_dropout=0.1), large(gated_bias=False, conv_bias=True, num_layers=1)


@pytest.fixture
def waveforms() -> Tensor:
    return torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))


def contrastive_model(network: NetworkSpec) -> WavLM:
    torch.manual_seed(0)
    return WavLM(network, 0, quantizer=QuantizerSpec(codebooks=2, entries=5, width=8)).eval()


@pytest.mark.parametrize("network", [BASE, LARGE], ids=["base", "large"])
def test_transformers_loads_wav2vec_2_with_its_head_and_computes_the_same_loss(
    network: NetworkSpec, tmp_path: Path, waveforms: Tensor
) -> None:
    model = contrastive_model(network)
    save_model(model, tmp_path / "model")
    build_export(tmp_path / "model", replace(CARD, is_contrastive=True), tmp_path / "export")
    theirs, info = Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "export" / "hf", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    rows, frames = len(waveforms), num_frames(waveforms.shape[1], network.conv_layers)
    mask = torch.zeros(rows, frames, dtype=torch.bool)
    mask[:, 3:20] = True
    negatives = torch.arange(3, 9).expand(rows, frames, 6)
    negatives = negatives + (negatives >= torch.arange(frames)[None, :, None])  # never a frame's own
    batch = SimpleNamespace(waveforms=model._normalise(waveforms, None), mask=mask)
    with torch.no_grad():
        ours = model(batch, contrast=Contrast(negatives, 1.0, 0.1, 0.0))
        places = negatives + frames * torch.arange(rows)[:, None, None]
        found = theirs.eval()(batch.waveforms, mask_time_indices=mask, sampled_negative_indices=places)
    assert ours.loss.item() == pytest.approx(found.contrastive_loss.item(), rel=1e-4)
    assert ours.hard_perplexity.item() == pytest.approx(found.codevector_perplexity.item(), rel=1e-5)


@pytest.mark.parametrize("network", [BASE, LARGE, base()])
def test_both_layouts_bring_back_wav2vec_2_with_its_quantiser(network: NetworkSpec, tmp_path: Path) -> None:
    network = network.model_copy(update={"special_symbols": 0})
    model = contrastive_model(network)
    save_model(model, tmp_path / "model")
    build_export(tmp_path / "model", CARD, tmp_path / "export")
    for place in (tmp_path / "model", tmp_path / "export" / "hf", tmp_path / "export" / "fairseq" / "iteration2.pt"):
        found = wavlm.load(place)
        assert_same_model(model, found)
        assert found.quantizer == model.quantizer
        assert not found.fresh_head


def test_fairseqs_names_of_wav2vec_2_are_those_of_its_own_files(tmp_path: Path) -> None:
    """fairseq/models/wav2vec/wav2vec2.py and modules/gumbel_vector_quantizer.py, which load strictly."""
    model = contrastive_model(BASE)
    save_model(model, tmp_path / "model")
    build_export(tmp_path / "model", CARD, tmp_path / "export")
    content = torch.load(tmp_path / "export" / "fairseq" / "iteration2.pt", weights_only=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in content["model"].items()}
    assert shapes["quantizer.vars"] == (1, 10, 4)
    assert shapes["quantizer.weight_proj.weight"] == (10, model.network.conv_layers[-1].channels)
    assert shapes["project_q.weight"] == (model.network.projection_width, 8)
    assert shapes["final_proj.weight"] == (model.network.projection_width, model.network.width)
    cfg = content["cfg"]
    assert (cfg["latent_groups"], cfg["latent_vars"], cfg["latent_dim"]) == (2, 5, 8)
    assert cfg["final_dim"] == model.network.projection_width
    del content["model"]["project_q.weight"]
    torch.save(content, tmp_path / "broken.pt")
    with pytest.raises(ImportRefusedError, match=r"project_q\.weight were not found beside a quantiser"):
        wavlm.load(tmp_path / "broken.pt")


def test_a_folder_that_transformers_wrote_brings_its_quantiser(tmp_path: Path) -> None:
    """As facebook/wav2vec2-base is: to start from, or as a teacher."""
    model = contrastive_model(BASE)
    save_model(model, tmp_path / "model")
    build_export(tmp_path / "model", CARD, tmp_path / "export")
    Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "export" / "hf").save_pretrained(tmp_path / "theirs")
    imported = import_model(tmp_path / "theirs", tmp_path / "ours")
    assert imported.has_head
    assert imported.num_clusters == 0
    assert_same_tensors(model, load_model(tmp_path / "ours"))
    labelling = Labelling(0, None, quantizer=model.quantizer)
    assert check_start(tmp_path / "ours", model.network, labelling).is_kept
    assert not check_start(tmp_path / "ours", model.network, Labelling(9, "b" * 64)).is_kept


def assert_same_tensors(ours: WavLM, theirs: WavLM) -> None:
    expected = dict(weights_of(theirs))
    for name, tensor in weights_of(ours):
        assert torch.equal(tensor, expected.pop(name)), name
    assert not expected


def test_the_card_names_the_class_that_has_the_head() -> None:
    text = model_card(replace(CARD, is_contrastive=True), BASE)
    assert "A wav2vec 2.0 encoder, pre-trained by a contrastive objective." in text
    assert "from transformers import Wav2Vec2ForPreTraining" in text
    assert "pretraining_head.safetensors" not in text
    assert "- wav2vec2\n" in text
