"""The keys of a HuBERT's .pt file that s3prl's loader `hubert_local` asks for, beside those of fairseq.

s3prl converts fairseq's checkpoints into this form (s3prl/upstream/hubert/convert.py, load_converted_model) and loads
`model_weight` strictly, head included. Settings that its dataclasses do not have are ignored there.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor

from wavlm.specs import NetworkSpec
from wavlm.specs.frames import sample_rate_of

SPECIAL_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")  # of fairseq's dictionaries, before the first cluster


def s3prl_keys(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], network: NetworkSpec, num_clusters: int
) -> dict[str, Any]:
    """The entries of the file for s3prl; `config` and `tensors` have fairseq's names, the head is among them.

    The tensors are the ones of the other keys, so the file hardly grows.
    """
    rate_hz = sample_rate_of(network)
    symbols = [*SPECIAL_SYMBOLS[: network.special_symbols], *map(str, range(num_clusters))]
    return {
        "task_cfg": {"normalize": network.normalize_waveform, "sample_rate": rate_hz},
        "model_cfg": {
            **config,
            "label_rate": rate_hz / prod(layer.stride for layer in network.conv_layers),
            "final_dim": network.projection_width,
            # Its default of 2 pads odd numbers of frames: masked, so without effect but for rounding.
            "required_seq_len_multiple": 1,
        },
        "model_weight": dict(tensors),
        "dictionaries_symbols": [symbols],
    }


def from_s3prl(content: Any) -> Any:
    """A file that holds only s3prl's keys in the form of fairseq's; anything else unchanged."""
    keys = {"model_cfg", "task_cfg", "model_weight"}
    if not isinstance(content, dict) or "model" in content or not keys <= content.keys():
        return content
    cfg = {"model": content["model_cfg"], "task": content["task_cfg"]}
    return {"cfg": cfg, "model": content["model_weight"]}
