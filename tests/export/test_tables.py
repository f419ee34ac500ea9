"""The names of tensors in both other layouts, as those programs have them: the whole tables, literally.

hf: transformers' modeling_wavlm.py. fairseq: unilm's WavLM.py and fairseq's wav2vec2.py, as in released checkpoints.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.nn.networks import base, large, lively
from wavlm.export import Card, build_export
from wavlm.export.hf import preprocessor_of
from wavlm.nn import save_model
from wavlm.specs import NetworkSpec

# ours, hf, fairseq; L: a layer, C: a convolution
TABLE = """
mask_embedding                     masked_spec_embed                                      mask_emb
feature_norm.weight                feature_projection.layer_norm.weight                   layer_norm.weight
feature_norm.bias                  feature_projection.layer_norm.bias                     layer_norm.bias
projection.weight                  feature_projection.projection.weight                   post_extract_proj.weight
projection.bias                    feature_projection.projection.bias                     post_extract_proj.bias
encoder.position.bias              encoder.pos_conv_embed.conv.bias                       encoder.pos_conv.0.bias
encoder.position.g                 encoder.pos_conv_embed.conv.weight_g                   encoder.pos_conv.0.weight_g
encoder.position.v                 encoder.pos_conv_embed.conv.weight_v                   encoder.pos_conv.0.weight_v
encoder.norm.weight                encoder.layer_norm.weight                              encoder.layer_norm.weight
encoder.norm.bias                  encoder.layer_norm.bias                                encoder.layer_norm.bias
L.attention.qkv.weight[0]          L.attention.q_proj.weight                              L.self_attn.q_proj.weight
L.attention.qkv.weight[1]          L.attention.k_proj.weight                              L.self_attn.k_proj.weight
L.attention.qkv.weight[2]          L.attention.v_proj.weight                              L.self_attn.v_proj.weight
L.attention.qkv.bias[0]            L.attention.q_proj.bias                                L.self_attn.q_proj.bias
L.attention.qkv.bias[1]            L.attention.k_proj.bias                                L.self_attn.k_proj.bias
L.attention.qkv.bias[2]            L.attention.v_proj.bias                                L.self_attn.v_proj.bias
L.attention.out.weight             L.attention.out_proj.weight                            L.self_attn.out_proj.weight
L.attention.out.bias               L.attention.out_proj.bias                              L.self_attn.out_proj.bias
L.attention_norm.weight            L.layer_norm.weight                                    L.self_attn_layer_norm.weight
L.attention_norm.bias              L.layer_norm.bias                                      L.self_attn_layer_norm.bias
L.fc1.weight                       L.feed_forward.intermediate_dense.weight               L.fc1.weight
L.fc1.bias                         L.feed_forward.intermediate_dense.bias                 L.fc1.bias
L.fc2.weight                       L.feed_forward.output_dense.weight                     L.fc2.weight
L.fc2.bias                         L.feed_forward.output_dense.bias                       L.fc2.bias
L.ffn_norm.weight                  L.final_layer_norm.weight                              L.final_layer_norm.weight
L.ffn_norm.bias                    L.final_layer_norm.bias                                L.final_layer_norm.bias
"""
GATED = """
encoder.relative_position.weight   encoder.layers.0.attention.rel_attn_embed.weight       encoder.layers.0.self_attn.relative_attention_bias.weight
L.attention.gate.weight            L.attention.gru_rel_pos_linear.weight                  L.self_attn.grep_linear.weight
L.attention.gate.bias              L.attention.gru_rel_pos_linear.bias                    L.self_attn.grep_linear.bias
L.attention.gate_scale             L.attention.gru_rel_pos_const                          L.self_attn.grep_a
"""  # noqa: E501
CONVS = """
extractor.convs.C.weight           feature_extractor.conv_layers.C.conv.weight            feature_extractor.conv_layers.C.0.weight
"""  # noqa: E501
BIASES = """
extractor.convs.C.bias             feature_extractor.conv_layers.C.conv.bias              feature_extractor.conv_layers.C.0.bias
"""  # noqa: E501
GROUP_NORM = """
extractor.norms.0.weight           feature_extractor.conv_layers.0.layer_norm.weight      feature_extractor.conv_layers.0.2.weight
extractor.norms.0.bias             feature_extractor.conv_layers.0.layer_norm.bias        feature_extractor.conv_layers.0.2.bias
"""  # noqa: E501
LAYER_NORM = """
extractor.norms.C.weight           feature_extractor.conv_layers.C.layer_norm.weight      feature_extractor.conv_layers.C.2.1.weight
extractor.norms.C.bias             feature_extractor.conv_layers.C.layer_norm.bias        feature_extractor.conv_layers.C.2.1.bias
"""  # noqa: E501
HEAD = """
head.projection.weight             final_proj.weight                                      final_proj.weight
head.projection.bias               final_proj.bias                                        final_proj.bias
head.label_embeddings              label_embs_concat                                      label_embs_concat
"""
NETWORKS = {
    "base": (base(special_symbols=4), TABLE + GATED + CONVS + GROUP_NORM),
    "large": (large(conv_bias=True), TABLE + GATED + CONVS + BIASES + LAYER_NORM),
    "hubert": (base(gated_bias=False), TABLE + CONVS + GROUP_NORM),
}


def rows(text: str, network: NetworkSpec) -> list[list[str]]:
    """Rows of three names, with L for each layer and C for each convolution."""
    found = []
    for line in filter(None, text.splitlines()):
        count = network.num_layers if line.startswith("L.") else len(network.conv_layers) if ".C." in line else 1
        for i in range(count):
            words = [f"encoder.layers.{i}{word[1:]}" if word.startswith("L.") else word for word in line.split()]
            found.append([word.replace(".C.", f".{i}.") for word in words])
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_has_the_name_that_the_other_program_reads(name: str, tmp_path: Path) -> None:
    network, text = NETWORKS[name]
    model = lively(network, num_clusters=7)
    save_model(model, tmp_path / "model")
    build_export(tmp_path / "model", Card(name="it", key="0123456789ab", origins=()), tmp_path / "export")
    ours = model.state_dict()
    fairseq = torch.load(tmp_path / "export/fairseq/it.pt", weights_only=True)
    files = {
        1: (load_file(tmp_path / "export/hf/model.safetensors"), text),
        2: (fairseq["model"], text),
    }
    heads = {
        1: (load_file(tmp_path / "export/hf/pretraining_head.safetensors"), HEAD),
        2: (fairseq["pretraining_head"], HEAD),
    }
    for column, (theirs, table) in [*files.items(), *heads.items()]:
        wanted = rows(table, network)
        assert set(theirs) == {row[column] for row in wanted}
        for row in wanted:
            whole, _, piece = row[0].partition("[")
            mine = ours[whole].chunk(3)[int(piece[0])] if piece else ours[whole]
            assert torch.equal(mine, theirs[row[column]]), row


def test_the_feature_extractor_asks_for_masks_where_the_norm_bears_padding() -> None:
    assert preprocessor_of(large(normalize_waveform=True)) == {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": 16000,
        "padding_side": "right",
        "padding_value": 0.0,
        "do_normalize": True,
        "return_attention_mask": True,
    }
    assert preprocessor_of(base())["return_attention_mask"] is False
    assert preprocessor_of(base())["do_normalize"] is False
