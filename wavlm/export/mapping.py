"""Tensor names of this project, of Hugging Face and of fairseq: one table (docs/algorithm.md section 14).

A name may contain {i}, the number of a layer. This project keeps queries, keys and values in one tensor. Both other
layouts keep them apart, so the tensor of such a row is cut into as many equal pieces as it has names there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from wavlm.export.errors import ImportRefusedError
from wavlm.specs import NetworkSpec

ModelLayout = Literal["hf", "fairseq"]
Names = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """The name of a tensor in this project, and the names of its pieces in each layout."""

    ours: str
    hf: Names
    fairseq: Names

    def names(self, layout: ModelLayout) -> Names:
        return self.hf if layout == "hf" else self.fairseq

    def with_index(self, i: int) -> Row:
        return Row(
            self.ours.format(i=i),
            tuple(name.format(i=i) for name in self.hf),
            tuple(name.format(i=i) for name in self.fairseq),
        )


def _row(ours: str, hf: str, fairseq: str) -> Row:
    return Row(ours, (hf,), (fairseq,))


def _affine(ours: str, hf: str, fairseq: str) -> tuple[Row, Row]:
    """The rows of a module that has a weight and a bias."""
    weight = _row(f"{ours}.weight", f"{hf}.weight", f"{fairseq}.weight")
    return weight, _row(f"{ours}.bias", f"{hf}.bias", f"{fairseq}.bias")


def _qkv(kind: str) -> Row:
    hf, fairseq = "encoder.layers.{i}.attention", "encoder.layers.{i}.self_attn"
    return Row(
        f"encoder.layers.{{i}}.attention.qkv.{kind}",
        tuple(f"{hf}.{part}_proj.{kind}" for part in "qkv"),
        tuple(f"{fairseq}.{part}_proj.{kind}" for part in "qkv"),
    )


_CONV = "feature_extractor.conv_layers.{i}"
_LAYER = "encoder.layers.{i}"
_TAPS = "encoder.pos_conv_embed.conv"

ONCE = (
    _row("mask_embedding", "masked_spec_embed", "mask_emb"),
    *_affine("feature_norm", "feature_projection.layer_norm", "layer_norm"),
    *_affine("projection", "feature_projection.projection", "post_extract_proj"),
    _row("encoder.position.bias", f"{_TAPS}.bias", "encoder.pos_conv.0.bias"),
    _row("encoder.position.g", f"{_TAPS}.weight_g", "encoder.pos_conv.0.weight_g"),
    _row("encoder.position.v", f"{_TAPS}.weight_v", "encoder.pos_conv.0.weight_v"),
    *_affine("encoder.norm", "encoder.layer_norm", "encoder.layer_norm"),
)
TABLE = _row(
    "encoder.relative_position.weight",
    "encoder.layers.0.attention.rel_attn_embed.weight",
    "encoder.layers.0.self_attn.relative_attention_bias.weight",
)
HEAD = (
    *_affine("head.projection", "final_proj", "final_proj"),
    _row("head.label_embeddings", "label_embs_concat", "label_embs_concat"),
)
CONTRASTIVE_HEAD = (
    *_affine("head.quantizer.logits", "quantizer.weight_proj", "quantizer.weight_proj"),
    _row("head.quantizer.entries", "quantizer.codevectors", "quantizer.vars"),
    *_affine("head.projection", "project_hid", "final_proj"),
    *_affine("head.target_projection", "project_q", "project_q"),
)
CONV = _row("extractor.convs.{i}.weight", f"{_CONV}.conv.weight", f"{_CONV}.0.weight")
CONV_BIAS = _row("extractor.convs.{i}.bias", f"{_CONV}.conv.bias", f"{_CONV}.0.bias")
TIME_NORM = _affine("extractor.norms.{i}", f"{_CONV}.layer_norm", f"{_CONV}.2")
CHANNEL_NORM = _affine("extractor.norms.{i}", f"{_CONV}.layer_norm", f"{_CONV}.2.1")
LAYER = (
    _qkv("weight"),
    _qkv("bias"),
    *_affine(
        f"{_LAYER}.attention.out",
        f"{_LAYER}.attention.out_proj",
        f"{_LAYER}.self_attn.out_proj",
    ),
    *_affine(f"{_LAYER}.attention_norm", f"{_LAYER}.layer_norm", f"{_LAYER}.self_attn_layer_norm"),
    *_affine(f"{_LAYER}.fc1", f"{_LAYER}.feed_forward.intermediate_dense", f"{_LAYER}.fc1"),
    *_affine(f"{_LAYER}.fc2", f"{_LAYER}.feed_forward.output_dense", f"{_LAYER}.fc2"),
    *_affine(f"{_LAYER}.ffn_norm", f"{_LAYER}.final_layer_norm", f"{_LAYER}.final_layer_norm"),
)
GATE = (
    *_affine(
        f"{_LAYER}.attention.gate",
        f"{_LAYER}.attention.gru_rel_pos_linear",
        f"{_LAYER}.self_attn.grep_linear",
    ),
    _row(
        f"{_LAYER}.attention.gate_scale",
        f"{_LAYER}.attention.gru_rel_pos_const",
        f"{_LAYER}.self_attn.grep_a",
    ),
)
# Names of the weight norm of the positional convolution in files that newer versions of transformers write. They are
# read, but not written: older versions (4.28 for one) do not know them, and use random weights without an error.
NEW_HF_NAMES = {
    f"{_TAPS}.parametrizations.weight.original0": f"{_TAPS}.weight_g",
    f"{_TAPS}.parametrizations.weight.original1": f"{_TAPS}.weight_v",
}


def encoder_rows(network: NetworkSpec) -> list[Row]:
    """All rows of a network, without those of its head."""
    convs = range(len(network.conv_layers))
    rows = [*ONCE, *(CONV.with_index(i) for i in convs)]
    if network.conv_bias:
        rows += [CONV_BIAS.with_index(i) for i in convs]
    if network.extractor_norm == "layer":
        rows += [row.with_index(i) for i in convs for row in CHANNEL_NORM]
    else:
        rows += [row.with_index(0) for row in TIME_NORM]
    if network.gated_bias:
        rows.append(TABLE)
    layer = LAYER + GATE if network.gated_bias else LAYER
    return rows + [row.with_index(i) for i in range(network.num_layers) for row in layer]


def to_layout(ours: Mapping[str, Tensor], rows: list[Row], layout: ModelLayout) -> dict[str, Tensor]:
    """This project's tensors under the names of a layout."""
    theirs: dict[str, Tensor] = {}
    for row in rows:
        names = row.names(layout)
        pieces = ours[row.ours].chunk(len(names)) if len(names) > 1 else (ours[row.ours],)
        theirs |= {name: x.clone() for name, x in zip(names, pieces, strict=True)}
    return theirs


def from_layout(theirs: Mapping[str, Tensor], rows: list[Row], layout: ModelLayout) -> dict[str, Tensor]:
    """Tensors of a layout under this project's names, in float32.

    Raises ImportRefusedError if tensors are missing, or if there are others.
    """
    wanted = {name for row in rows for name in row.names(layout)}
    problems = [f"{name}: missing" for name in sorted(wanted - theirs.keys())]
    problems += [f"{name}: unknown" for name in sorted(theirs.keys() - wanted)]
    if problems:
        shown = ", ".join(problems[:8])
        raise ImportRefusedError(f"{len(problems)} tensors differ from this network: {shown}; in the {layout} layout")
    return {row.ours: _concatenate([theirs[name] for name in row.names(layout)]) for row in rows}


def _concatenate(pieces: list[Tensor]) -> Tensor:
    return (torch.cat(pieces) if len(pieces) > 1 else pieces[0]).float()
