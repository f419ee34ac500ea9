"""The settings of a Hugging Face folder: `config.json` and those of its feature extractor. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wavlm.export.errors import ImportRefusedError
from wavlm.specs import ConvLayer, NetworkSpec, QuantizerSpec
from wavlm.specs.frames import sample_rate_of, unless_of_strides
from wavlm.storage.files import read_json
from wavlm.storage.seals import check_sealed

CONFIG_FILE = "config.json"
HEAD_FILE = "pretraining_head.safetensors"
# Files with the feature extractor's settings, and the key under which they are; None: at the top. Processors of
# transformers from version 5 on write the second one.
PREPROCESSOR_FILES = (("preprocessor_config.json", None), ("processor_config.json", "feature_extractor"))
Size = Annotated[int, Field(ge=1, le=65536)]
Depth = Annotated[int, Field(ge=1, le=1000)]  # names of all tensors are made from it before any is looked up
Width = Annotated[int, Field(ge=1, le=16384)]
OnlyEps = Annotated[float, Field(ge=1e-5, le=1e-5)]


class Pretraining(BaseModel):
    """Settings of pre-training that transformers does not have; an additional entry of config.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    feature_grad_mult: float = 0.1
    projection_width: Width = 256
    special_symbols: Literal[0, 4] = 0


class HfConfig(BaseModel):
    """The keys of config.json that describe the network, with transformers' defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_type: Literal["wavlm", "hubert", "wav2vec2"]  # the last two are one network, trained in different ways
    hidden_size: Width = 768
    num_hidden_layers: Depth = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3072
    hidden_act: Literal["gelu"] = "gelu"
    feat_extract_activation: Literal["gelu"] = "gelu"
    feat_extract_norm: Literal["group", "layer"] = "group"
    layer_norm_eps: OnlyEps = 1e-5
    conv_dim: Annotated[tuple[Size, ...], Field(max_length=100)] = (512,) * 7
    conv_kernel: Annotated[tuple[Size, ...], Field(max_length=100)] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: Annotated[tuple[Size, ...], Field(max_length=100)] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: Size = 128
    num_conv_pos_embedding_groups: Size = 16
    do_stable_layer_norm: bool = False
    num_buckets: Size = 320
    max_bucket_distance: Annotated[int, Field(ge=1, le=1_000_000)] = 800
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    layerdrop: float = 0.1
    feat_proj_layer_norm: Literal[True] = True
    conv_pos_batch_norm: Literal[False] = False
    add_adapter: Literal[False] = False
    pretraining: Pretraining = Pretraining()


class Preprocessor(BaseModel):
    """The key of preprocessor_config.json that changes the input, with transformers' default."""

    do_normalize: bool = True
    sampling_rate: int = 16000


def config_of(network: NetworkSpec) -> HfConfig:
    """The settings of a network under transformers' names."""
    return HfConfig(
        model_type="wavlm" if network.gated_bias else "hubert",
        hidden_size=network.width,
        num_hidden_layers=network.num_layers,
        num_attention_heads=network.num_heads,
        intermediate_size=network.ffn_width,
        feat_extract_norm=network.extractor_norm,
        conv_dim=tuple(layer.channels for layer in network.conv_layers),
        conv_kernel=tuple(layer.kernel for layer in network.conv_layers),
        conv_stride=tuple(layer.stride for layer in network.conv_layers),
        conv_bias=network.conv_bias,
        num_conv_pos_embeddings=network.position_kernel,
        num_conv_pos_embedding_groups=network.position_groups,
        do_stable_layer_norm=network.norm_first,
        num_buckets=network.num_buckets,
        max_bucket_distance=network.max_distance,
        hidden_dropout=network.dropout,
        attention_dropout=network.attention_dropout,
        activation_dropout=network.activation_dropout,
        feat_proj_dropout=network.input_dropout,
        layerdrop=network.layer_drop,
        pretraining=Pretraining(
            feature_grad_mult=network.feature_grad_mult,
            projection_width=network.projection_width,
            special_symbols=network.special_symbols,
        ),
    )


def quantizer_config(quantizer: QuantizerSpec, projection_width: int) -> dict[str, Any]:
    """The entries of config.json that make a network one of Wav2Vec2ForPreTraining."""
    return {
        "model_type": "wav2vec2",
        "num_codevector_groups": quantizer.codebooks,
        "num_codevectors_per_group": quantizer.entries,
        "codevector_dim": quantizer.width,
        "proj_codevector_dim": projection_width,
    }


def network_of(
    config: HfConfig, *, normalize_waveform: bool, projection_width: int, sample_rate_hz: int | None = None
) -> NetworkSpec:
    """The network that transformers' settings describe. Raises ValueError if it is not possible.

    sample_rate_hz: that of the feature extractor; None: not known.
    """
    convs = zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
    conv_layers = tuple(ConvLayer(channels=c, kernel=k, stride=s) for c, k, s in convs)
    return NetworkSpec(
        extractor_norm=config.feat_extract_norm,
        norm_first=config.do_stable_layer_norm,
        normalize_waveform=normalize_waveform,
        conv_layers=conv_layers,
        sample_rate_hz=unless_of_strides(sample_rate_hz, conv_layers),
        conv_bias=config.conv_bias,
        width=config.hidden_size,
        ffn_width=config.intermediate_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        position_kernel=config.num_conv_pos_embeddings,
        position_groups=config.num_conv_pos_embedding_groups,
        gated_bias=config.model_type == "wavlm",
        num_buckets=config.num_buckets,
        max_distance=config.max_bucket_distance,
        dropout=config.hidden_dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        input_dropout=config.feat_proj_dropout,
        layer_drop=config.layerdrop,
        feature_grad_mult=config.pretraining.feature_grad_mult,
        projection_width=projection_width,
        special_symbols=config.pretraining.special_symbols,
    )


def preprocessor_of(network: NetworkSpec) -> dict[str, Any]:
    """Settings of transformers' Wav2Vec2FeatureExtractor for this network."""
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": sample_rate_of(network),
        "padding_side": "right",
        "padding_value": 0.0,
        "do_normalize": network.normalize_waveform,
        # A mask is only useful with layer norm. With group norm, padding changes the output in any case.
        "return_attention_mask": network.extractor_norm == "layer",
    }


def read_hf_network(folder: Path, projection_width: int | None = None) -> NetworkSpec:
    """The network that a folder describes, with the width of its head if that is known. Raises ImportRefusedError."""
    config = read_config(folder)
    width = projection_width or config.pretraining.projection_width
    settings = _read_settings(folder)
    normalizes = config.feat_extract_norm == "layer" if settings is None else settings.do_normalize
    try:
        rate_hz = None if settings is None else settings.sampling_rate
        network = network_of(config, normalize_waveform=normalizes, projection_width=width, sample_rate_hz=rate_hz)
    except ValueError as error:
        raise ImportRefusedError(f"this describes no possible network: {error}; at {folder / CONFIG_FILE}") from error
    return network


def read_config(folder: Path) -> HfConfig:
    """The content of `config.json`. Raises ImportRefusedError."""
    path = folder / CONFIG_FILE
    check_sealed(path)
    try:
        return HfConfig.model_validate(read_json(path))
    except ValueError as error:
        raise ImportRefusedError(f"the file cannot be used: {error}; at {path}") from error


def _read_settings(folder: Path) -> Preprocessor | None:
    """The feature extractor's settings; None if there are none."""
    for name, key in PREPROCESSOR_FILES:
        check_sealed(folder / name)
        if (folder / name).is_file():
            return _read_preprocessor(folder / name, key)
    return None


def _read_preprocessor(path: Path, key: str | None) -> Preprocessor:
    try:
        content = read_json(path)
        return Preprocessor.model_validate(content[key] if key else content)
    except (ValueError, KeyError, TypeError) as error:
        raise ImportRefusedError(f"the file cannot be used: {error!r}; at {path}") from error
