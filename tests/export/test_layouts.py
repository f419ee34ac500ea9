"""Round trips through both other layouts, and equal outputs of transformers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoFeatureExtractor,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMModel,
)

import wavlm
from tests.nn.networks import base, large, lively
from tests.numerics import num_operations, require_close
from wavlm.export import Card, ImportRefusedError, build_export, import_model
from wavlm.export.hf import read_hf
from wavlm.nn import WavLM, load_model, save_model
from wavlm.nn.files import weights_of
from wavlm.specs import NetworkSpec
from wavlm.specs.shapes import num_frames

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask"),
]

NETWORKS = {
    "base": base(special_symbols=4, layer_drop=0.05, dropout=0.1, feature_grad_mult=0.1),
    "large": large(normalize_waveform=True, conv_bias=True),
    "hubert": base(gated_bias=False, attention_dropout=0.1),
    "large hubert": large(gated_bias=False, input_dropout=0.2, num_layers=1),
}
each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
CARD = Card(name="iteration2", key="0123456789ab", origins=())


@pytest.fixture
def waveforms() -> Tensor:
    return torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))


def export_model(network: NetworkSpec, folder: Path) -> WavLM:
    model = lively(network, num_clusters=7)
    save_model(model, folder / "model")
    build_export(folder / "model", CARD, folder / "export")
    return model


def assert_same_model(ours: WavLM, theirs: WavLM) -> None:
    assert theirs.network == ours.network
    assert theirs.num_clusters == ours.num_clusters
    for (name, mine), (_, other) in zip(weights_of(ours), weights_of(theirs), strict=True):
        assert torch.equal(mine, other), name


@each_network
def test_transformers_loads_the_folder_with_equal_hidden_states(
    network: NetworkSpec, tmp_path: Path, waveforms: Tensor
) -> None:
    model = export_model(network, tmp_path)
    kind = WavLMModel if network.gated_bias else HubertModel
    theirs, report = kind.from_pretrained(tmp_path / "export/hf", output_loading_info=True, attn_implementation="eager")
    assert not any(report.values()), report
    num_samples = torch.tensor([2000, 1300])
    attention_mask = (torch.arange(2000) < num_samples[:, None]).long()
    normalised = model._normalise(waveforms, num_samples)
    with torch.no_grad():
        ours = model.hidden_states(waveforms, num_samples)
        found = theirs.eval()(normalised, attention_mask=attention_mask, output_hidden_states=True)
        alone = theirs(model._normalise(waveforms[:1], None), output_hidden_states=True)
        ours_alone = model.hidden_states(waveforms[:1])
    for mine, other in zip(ours_alone, alone.hidden_states, strict=True):
        require_close(mine, other, num_operations(network, mine.shape[1]))
    for mine, other in zip(ours, found.hidden_states, strict=True):
        for row, length in enumerate(num_samples.tolist()):
            valid = num_frames(length, network.conv_layers)
            operations = num_operations(network, valid)
            require_close(mine[row, :valid], other[row, :valid], operations)


@each_network
@pytest.mark.parametrize("layout", ["hf", "fairseq/iteration2.pt"])
def test_both_layouts_bring_back_the_same_model_and_the_same_bytes(
    network: NetworkSpec, layout: str, tmp_path: Path
) -> None:
    model = export_model(network, tmp_path)
    import_model(tmp_path / "export" / layout, tmp_path / "back")
    assert_same_model(model, load_model(tmp_path / "back"))
    build_export(tmp_path / "back", CARD, tmp_path / "again")
    for path in (tmp_path / "export").rglob("*.*"):
        again = tmp_path / "again" / path.relative_to(tmp_path / "export")
        assert path.read_bytes() == again.read_bytes(), path.name


@pytest.mark.parametrize("layout", ["model", "export/hf", "export/fairseq/iteration2.pt"])
def test_load_reads_all_three_layouts_in_eval_mode(layout: str, tmp_path: Path) -> None:
    model = export_model(base(dropout=0.5), tmp_path)
    loaded = wavlm.load(tmp_path / layout)
    assert not loaded.training
    assert_same_model(model, loaded)


def test_the_feature_extractor_loads_and_normalises_as_the_network_asks(tmp_path: Path) -> None:
    for network, normalises in ((base(), False), (large(normalize_waveform=True), True)):
        folder = tmp_path / str(normalises)
        export_model(network, folder)
        extractor = AutoFeatureExtractor.from_pretrained(folder / "export/hf")
        assert extractor.do_normalize == normalises
        assert extractor.sampling_rate == 16000


def test_fairseq_names_and_cfg_are_those_of_the_released_checkpoints(tmp_path: Path) -> None:
    export_model(base(num_layers=1, special_symbols=4), tmp_path)
    content = torch.load(tmp_path / "export/fairseq/iteration2.pt", weights_only=True)
    attention = "encoder.layers.0.self_attn"
    parts = [
        *(f"feature_extractor.conv_layers.{i}.0" for i in range(3)),
        "feature_extractor.conv_layers.0.2",
        "layer_norm", "post_extract_proj", "encoder.layer_norm",
        *(f"{attention}.{part}" for part in ("q_proj", "k_proj", "v_proj", "out_proj")),
        f"{attention}.grep_linear", "encoder.layers.0.self_attn_layer_norm",
        "encoder.layers.0.fc1", "encoder.layers.0.fc2", "encoder.layers.0.final_layer_norm",
    ]  # fmt: skip
    names = {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    names -= {f"feature_extractor.conv_layers.{i}.0.bias" for i in range(3)}
    names |= {f"encoder.pos_conv.0.{kind}" for kind in ("weight_g", "weight_v", "bias")}
    names |= {f"{attention}.grep_a", f"{attention}.relative_attention_bias.weight"}
    assert content["model"].keys() == names | {"mask_emb"}  # strict loaders have no head
    head = content["pretraining_head"]
    assert head.keys() == {"final_proj.weight", "final_proj.bias", "label_embs_concat"}
    assert head["label_embs_concat"].shape == (11, 6)
    cfg = content["cfg"]
    assert cfg["conv_feature_layers"] == "[(12,10,5)] + [(16,3,2)] + [(10,2,3)]"
    assert (cfg["extractor_mode"], cfg["layer_norm_first"]) == ("default", False)
    assert cfg["relative_position_embedding"] is cfg["gru_rel_pos"] is True
    assert (cfg["conv_pos"], cfg["max_distance"], cfg["encoder_layers"]) == (8, 60, 1)


def test_folders_of_task_models_in_a_bin_file_are_read(tmp_path: Path) -> None:
    """Like microsoft/wavlm-base on the hub: a .bin file, and the names of a model with a task head."""
    model = export_model(base(), tmp_path)
    hf = tmp_path / "export/hf"
    weights = {f"wavlm.{name}": tensor for name, tensor in load_file(hf / "model.safetensors").items()}
    torch.save({**weights, "lm_head.weight": torch.zeros(3)}, hf / "pytorch_model.bin")
    (hf / "model.safetensors").unlink()
    assert_same_model(model, wavlm.load(hf))


def test_a_checkpoint_without_a_head_gets_a_fresh_one_of_the_size_asked_for(tmp_path: Path) -> None:
    export_model(base(), tmp_path)
    (tmp_path / "export/hf/pretraining_head.safetensors").unlink()
    for out in ("a", "b"):
        import_model(tmp_path / "export/hf", tmp_path / out, num_clusters=30)
    one, two = load_model(tmp_path / "a"), load_model(tmp_path / "b")
    assert one.head.label_embeddings.shape == (30, 6)
    assert_same_model(one, two)


def test_a_head_inside_model_and_a_nested_cfg_are_read_as_in_fairseqs_own_files(
    tmp_path: Path,
) -> None:
    model = export_model(large(normalize_waveform=True, special_symbols=4), tmp_path)
    path = tmp_path / "export/fairseq/iteration2.pt"
    content = torch.load(path, weights_only=True)
    content["model"] |= content.pop("pretraining_head")
    normalize = content["cfg"].pop("normalize")
    content["cfg"] = {"model": content["cfg"], "task": {"normalize": normalize}, "common": None}
    torch.save(content, path)
    assert_same_model(model, wavlm.load(path))


def test_a_fairseq_file_without_a_projection_is_read_as_the_identity(tmp_path: Path) -> None:
    """The public code leaves the projection out if conv channels equal the width."""
    network = base(width=10, num_heads=2)
    model = lively(network)
    with torch.no_grad():
        model.projection.weight.copy_(torch.eye(10))
        model.projection.bias.zero_()
    save_model(model, tmp_path / "model")
    build_export(tmp_path / "model", CARD, tmp_path / "export")
    path = tmp_path / "export/fairseq/iteration2.pt"
    assert "post_extract_proj.weight" not in torch.load(path, weights_only=True)["model"]
    back = wavlm.load(path)
    assert torch.equal(back.projection.weight, torch.eye(10))


def test_tensors_that_are_missing_or_unknown_are_named(tmp_path: Path) -> None:
    export_model(base(), tmp_path)
    path = tmp_path / "export/hf/model.safetensors"
    weights = load_file(path)
    weights["encoder.layers.9.fc1.weight"] = weights.pop("encoder.layers.0.layer_norm.bias")
    save_file(weights, path)
    with pytest.raises(ImportRefusedError) as error:
        wavlm.load(tmp_path / "export/hf")
    assert "encoder.layers.0.layer_norm.bias: missing" in str(error.value)
    assert "encoder.layers.9.fc1.weight: unknown" in str(error.value)


def test_a_path_that_is_no_model_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"model folder .* Hugging Face folder .* \.pt"):
        wavlm.load(tmp_path / "nothing")


def test_a_network_that_the_fairseq_layout_cannot_hold_is_exported_without_it(
    tmp_path: Path,
) -> None:
    save_model(lively(base(width=10, num_heads=2)), tmp_path / "model")
    facts = build_export(tmp_path / "model", CARD, tmp_path / "out")
    assert "channels equal the width" in str(facts.no_fairseq_file)
    assert not (tmp_path / "out" / "fairseq").exists()
    assert (tmp_path / "out" / "hf" / "model.safetensors").exists()


@pytest.mark.parametrize("style", ["group", "layer"])
@pytest.mark.parametrize("kind", [Wav2Vec2Model, Wav2Vec2ForPreTraining])
def test_a_wav2vec_2_is_read_with_equal_hidden_states(
    style: str, kind: type[Wav2Vec2Model], tmp_path: Path, waveforms: Tensor
) -> None:
    """Of its pre-training there is a quantizer beside the network, which is no part of it."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    convs = {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    head = {"codevector_dim": 8, "proj_codevector_dim": 8, "num_codevectors_per_group": 4}
    norms = {"feat_extract_norm": style, "do_stable_layer_norm": style == "layer", "conv_bias": style == "layer"}
    theirs = kind(Wav2Vec2Config(**sizes, **convs, **head, **norms, attn_implementation="eager")).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = read_hf(tmp_path / "theirs", 2)
    assert not ours.network.gated_bias
    with torch.no_grad():
        found = getattr(theirs, "wav2vec2", theirs)(ours._normalise(waveforms, None), output_hidden_states=True)
        states = ours.eval().hidden_states(waveforms)
    for mine, other in zip(states, found.hidden_states, strict=True):
        require_close(mine, other, num_operations(ours.network, mine.shape[1]))
