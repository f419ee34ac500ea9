"""Small networks of both styles, and the same networks in transformers."""

from __future__ import annotations

import torch
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from wavlm.export.mapping import encoder_rows, to_layout
from wavlm.nn import WavLM
from wavlm.specs import ConvLayer, NetworkSpec

CONVS = tuple(ConvLayer(channels=c, kernel=k, stride=s) for c, k, s in ((12, 10, 5), (16, 3, 2), (10, 2, 3)))
NO_DROPOUT = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "input_dropout": 0.0,
    "layer_drop": 0.0,
}


def base(**changes: object) -> NetworkSpec:
    """Post-norm, group norm, everything small."""
    fields = {
        "extractor_norm": "group",
        "norm_first": False,
        "normalize_waveform": False,
        "conv_layers": CONVS,
        "width": 24,
        "ffn_width": 40,
        "num_layers": 3,
        "num_heads": 4,
        "position_kernel": 8,
        "position_groups": 2,
        "num_buckets": 32,
        "max_distance": 60,
        "projection_width": 6,
        "feature_grad_mult": 1.0,
    }
    return NetworkSpec.model_validate(fields | NO_DROPOUT | changes)


def large(**changes: object) -> NetworkSpec:
    """Pre-norm, layer norm, another head count, odd positional kernel."""
    style = {"extractor_norm": "layer", "norm_first": True, "position_kernel": 7, "num_heads": 3}
    return base(**(style | changes))


def lively(network: NetworkSpec, num_clusters: int = 5, seed: int = 0) -> WavLM:
    """A network whose norms, gates, biases and tables are far from their initial values."""
    torch.manual_seed(seed)
    model = WavLM(network, num_clusters)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def in_transformers(model: WavLM) -> WavLMModel | HubertModel:
    """The same network, built from a config that is written here by hand, loaded strictly."""
    network = model.network
    shared = {
        "hidden_size": network.width,
        "num_hidden_layers": network.num_layers,
        "num_attention_heads": network.num_heads,
        "intermediate_size": network.ffn_width,
        "feat_extract_norm": network.extractor_norm,
        "conv_dim": [layer.channels for layer in network.conv_layers],
        "conv_kernel": [layer.kernel for layer in network.conv_layers],
        "conv_stride": [layer.stride for layer in network.conv_layers],
        "conv_bias": network.conv_bias,
        "num_conv_pos_embeddings": network.position_kernel,
        "num_conv_pos_embedding_groups": network.position_groups,
        "do_stable_layer_norm": network.norm_first,
        "hidden_dropout": 0.0,
        "activation_dropout": 0.0,
        "attention_dropout": 0.0,
        "feat_proj_dropout": 0.0,
        "layerdrop": 0.0,
    }
    if network.gated_bias:
        buckets = {"num_buckets": network.num_buckets, "max_bucket_distance": network.max_distance}
        theirs = WavLMModel(WavLMConfig(**shared, **buckets))
    else:
        theirs = HubertModel(HubertConfig(**shared, attn_implementation="eager"))
    weights = to_layout(model.state_dict(), encoder_rows(network), "hf")
    theirs.load_state_dict(weights, strict=True)
    return theirs.eval()
