"""Write and read the fairseq layout of Microsoft's releases: one .pt file, {"cfg": plain dict, "model": tensors}.

Loaders of WavLM such as s3prl's build the network from `cfg` and load `model` strictly, and their network has no head.
So the head is written beside `model`, as `pretraining_head`, under the names that fairseq uses inside `model`.
It is read from either. The head of wav2vec 2.0 is written inside `model`, as fairseq does. A HuBERT gets what s3prl's
`hubert_local` asks for as well: see `wavlm.export.s3prl`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavlm.export.convstack import format_conv_stack, parse_conv_stack
from wavlm.export.errors import ImportRefusedError
from wavlm.export.heads import (
    CONTRASTIVE_NAMES,
    HEAD_NAMES,
    add_mask_embedding,
    find_contrastive_head,
    find_head,
    fresh_head,
)
from wavlm.export.mapping import CONTRASTIVE_HEAD, HEAD, encoder_rows, from_layout, to_layout
from wavlm.export.s3prl import from_s3prl, s3prl_keys
from wavlm.export.weights import read_pt, tensors_of
from wavlm.nn import WavLM
from wavlm.nn.description import NetworkFile
from wavlm.nn.files import network_from
from wavlm.specs import NetworkSpec, QuantizerSpec
from wavlm.specs.frames import unless_of_strides
from wavlm.storage.files import open_atomic

HEAD_KEY, CODEBOOK_KEY = "pretraining_head", "pretraining_codebook"
Size = Annotated[int, Field(ge=1, le=65536)]
Depth = Annotated[int, Field(ge=1, le=1000)]  # names of all tensors are made from it before any is looked up
Width = Annotated[int, Field(ge=1, le=16384)]


class FairseqConfig(BaseModel):
    """The keys of `cfg` that describe the network, with the defaults of the public WavLM code.

    Other keys, such as those of masking, do not describe the network.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    extractor_mode: Literal["default", "layer_norm"] = "default"
    encoder_layers: Depth = 12
    encoder_embed_dim: Width = 768
    encoder_ffn_embed_dim: Size = 3072
    encoder_attention_heads: Size = 12
    activation_fn: Literal["gelu"] = "gelu"
    layer_norm_first: bool = False
    conv_feature_layers: str = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"
    conv_bias: bool = False
    feature_grad_mult: float = 1.0
    normalize: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    encoder_layerdrop: float = 0.0
    dropout_input: float = 0.0
    dropout_features: float = 0.0
    conv_pos: Size = 128
    conv_pos_groups: Size = 16
    relative_position_embedding: bool = False
    num_buckets: Size = 320
    max_distance: Annotated[int, Field(ge=1, le=1_000_000)] = 1280
    gru_rel_pos: bool = False
    sample_rate: Size | None = None  # of its task; written where the strides do not say it
    # A key of this project: the number of rows of label_embs_concat before the first cluster. fairseq's
    # dictionary begins with four symbols that are not clusters.
    special_symbols: Literal[0, 4] = 4


def config_of(network: NetworkSpec) -> FairseqConfig:
    """The settings of a network under fairseq's names."""
    return FairseqConfig(
        extractor_mode="layer_norm" if network.extractor_norm == "layer" else "default",
        encoder_layers=network.num_layers,
        encoder_embed_dim=network.width,
        encoder_ffn_embed_dim=network.ffn_width,
        encoder_attention_heads=network.num_heads,
        layer_norm_first=network.norm_first,
        conv_feature_layers=format_conv_stack(network.conv_layers),
        conv_bias=network.conv_bias,
        feature_grad_mult=network.feature_grad_mult,
        normalize=network.normalize_waveform,
        dropout=network.dropout,
        attention_dropout=network.attention_dropout,
        activation_dropout=network.activation_dropout,
        encoder_layerdrop=network.layer_drop,
        dropout_input=network.input_dropout,
        conv_pos=network.position_kernel,
        conv_pos_groups=network.position_groups,
        relative_position_embedding=network.gated_bias,
        num_buckets=network.num_buckets,
        max_distance=network.max_distance,
        gru_rel_pos=network.gated_bias,
        sample_rate=network.sample_rate_hz,
        special_symbols=network.special_symbols,
    )


def network_of(config: FairseqConfig, projection_width: int) -> NetworkSpec:
    """The network that fairseq's settings describe.

    Raises ImportRefusedError or ValidationError if there is no such network.
    """
    if config.relative_position_embedding != config.gru_rel_pos:
        raise ImportRefusedError(
            f"relative_position_embedding {config.relative_position_embedding} with gru_rel_pos "
            f"{config.gru_rel_pos}, expected both (WavLM) or neither (HuBERT); in cfg"
        )
    conv_layers = parse_conv_stack(config.conv_feature_layers)
    return NetworkSpec(
        extractor_norm="layer" if config.extractor_mode == "layer_norm" else "group",
        norm_first=config.layer_norm_first,
        normalize_waveform=config.normalize,
        conv_layers=conv_layers,
        sample_rate_hz=unless_of_strides(config.sample_rate, conv_layers),
        conv_bias=config.conv_bias,
        width=config.encoder_embed_dim,
        ffn_width=config.encoder_ffn_embed_dim,
        num_layers=config.encoder_layers,
        num_heads=config.encoder_attention_heads,
        position_kernel=config.conv_pos,
        position_groups=config.conv_pos_groups,
        gated_bias=config.gru_rel_pos,
        num_buckets=config.num_buckets,
        max_distance=config.max_distance,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        input_dropout=config.dropout_input,
        layer_drop=config.encoder_layerdrop,
        feature_grad_mult=config.feature_grad_mult,
        projection_width=projection_width,
        special_symbols=config.special_symbols,
    )


def write_fairseq(model: WavLM, path: Path) -> None:
    """Write the network and its head as one .pt file. Raises ImportRefusedError if the layout cannot hold it."""
    network, weights = model.network, model.state_dict()
    tensors = to_layout(weights, encoder_rows(network), "fairseq")
    head = to_layout(weights, list(CONTRASTIVE_HEAD if model.quantizer else HEAD), "fairseq")
    if _has_no_projection(network):
        if obstacle := obstacle_of(model):
            raise ImportRefusedError(f"{obstacle}; at {path}")
        for name in ("post_extract_proj.weight", "post_extract_proj.bias"):
            del tensors[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as file:
        config = config_of(network).model_dump(exclude_none=True)
        content: dict[str, Any] = {"cfg": config, "model": tensors}
        if model.quantizer:
            content = {"cfg": config | _quantizer_config(model.quantizer, network), "model": tensors | head}
        elif not model.fresh_head:  # else whoever reads the file would take an untrained head for a trained one
            content |= {HEAD_KEY: head, **({CODEBOOK_KEY: model.codebook} if model.codebook else {})}
        if not network.gated_bias and not model.quantizer:
            content |= s3prl_keys(config, tensors | head, network, model.num_clusters)
        torch.save(content, file)


def _quantizer_config(quantizer: QuantizerSpec, network: NetworkSpec) -> dict[str, Any]:
    """The settings of fairseq's wav2vec2 that describe its head."""
    return {
        "quantize_targets": True,
        "latent_groups": quantizer.codebooks,
        "latent_vars": quantizer.entries,
        "latent_dim": quantizer.width,
        "final_dim": network.projection_width,
    }


def obstacle_of(model: WavLM) -> str | None:
    """The reason why the fairseq layout cannot represent this network; None if it can."""
    if not _has_no_projection(model.network):
        return None
    weight, bias = model.projection.weight, model.projection.bias
    if not bias.any() and torch.equal(weight, torch.eye(len(weight))):
        return None
    return (
        "the fairseq layout has no projection where conv channels equal the width "
        f"({len(weight)}), and this network's is not the identity"
    )


def read_fairseq(path: Path, num_clusters: int) -> WavLM:
    """Read a .pt file. A model without a head gets an untrained one for `num_clusters`.

    Raises ImportRefusedError.
    """
    content = from_s3prl(read_pt(path))
    if not isinstance(content, dict) or not {"cfg", "model"} <= content.keys():
        raise ImportRefusedError(
            "expected a dict with 'cfg' and 'model', or with s3prl's 'model_cfg', 'task_cfg' and 'model_weight'; "
            f"at {path}"
        )
    config = _read_config(content["cfg"], path)
    theirs = tensors_of(content["model"], path) | tensors_of(content.get(HEAD_KEY, {}), path)
    head = find_contrastive_head(theirs, "fairseq")
    if head:
        config = config.model_copy(update={"special_symbols": 0})  # there is no dictionary
    else:
        head = find_head(theirs, config.special_symbols, str(content.get(CODEBOOK_KEY, "")))
    try:
        network = network_of(config, head.projection_width if head else 256)
    except ValidationError as error:
        raise ImportRefusedError(f"cfg describes no possible network: {error}; at {path}") from error
    head = head or fresh_head(network, num_clusters)
    of_head = (*HEAD_NAMES, *CONTRASTIVE_NAMES["fairseq"])
    body = {name: tensor for name, tensor in theirs.items() if name not in of_head}
    if _has_no_projection(network) and "post_extract_proj.weight" not in body:
        body["post_extract_proj.weight"] = torch.eye(network.width)
        body["post_extract_proj.bias"] = torch.zeros(network.width)
    body = add_mask_embedding(body, "mask_emb", network, path)
    weights = from_layout(body, encoder_rows(network), "fairseq") | head.weights
    content = NetworkFile(network=network, num_clusters=head.num_clusters, quantizer=head.quantizer)
    model = network_from(content, weights, where=path)
    model.fresh_head, model.codebook = head.fresh, head.codebook
    return model


def _read_config(cfg: Any, path: Path) -> FairseqConfig:
    """The keys of the network. Checkpoints of fairseq itself keep them in cfg["model"] and cfg["task"]."""
    if not isinstance(cfg, dict):
        raise ImportRefusedError(f"cfg is {type(cfg).__name__}, expected a plain dict; at {path}")
    if isinstance(cfg.get("model"), dict):
        task = cfg.get("task")
        cfg = {**(task if isinstance(task, dict) else {}), **cfg["model"]}
    try:
        return FairseqConfig.model_validate(cfg)
    except ValidationError as error:
        raise ImportRefusedError(f"cfg cannot be used: {error}; at {path}") from error


def _has_no_projection(network: NetworkSpec) -> bool:
    """Whether fairseq leaves the projection out: it does if conv channels and width are equal."""
    return network.conv_layers[-1].channels == network.width
