"""Kind S, exports. People reported: an exported folder had a random positional convolution in an older transformers;
s3prl refused the .pt of a HuBERT; shards with timed phones did not open in Hugging Face `load_dataset("webdataset")`.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

import wavlm
from tests.nn.networks import base, large, lively
from tests.shards.corpora import SPEC, noise_clip, write_corpus
from wavlm.errors import UsageError
from wavlm.execution.progress import no_progress
from wavlm.export.fairseq import write_fairseq
from wavlm.export.hf import write_hf
from wavlm.shards import Piece, Utterance, build_shards
from wavlm.shards.utterance import from_json, to_json

# What s3prl/upstream/hubert/convert.py and hubert_model.py read at commit ec8064b, written down by hand.
S3PRL_KEYS = {"task_cfg", "model_cfg", "model_weight", "dictionaries_symbols"}


def test_the_weight_norm_has_the_names_that_every_version_of_transformers_reads(tmp_path: Path) -> None:
    """transformers 4.28.1 draws random weights for `parametrizations.weight.original0`, without an error."""
    model = lively(base())
    write_hf(model, tmp_path / "hf")
    weights = load_file(tmp_path / "hf/model.safetensors")
    taps = {name: tuple(weights[name].shape) for name in weights if "pos_conv_embed" in name}
    assert taps == {
        "encoder.pos_conv_embed.conv.bias": (24,),
        "encoder.pos_conv_embed.conv.weight_g": (1, 1, 8),
        "encoder.pos_conv_embed.conv.weight_v": (24, 12, 8),
    }


@pytest.mark.parametrize(("symbols", "special"), [(0, []), (4, ["<s>", "<pad>", "</s>", "<unk>"])])
def test_the_pt_of_a_hubert_has_what_s3prl_loads_strictly(tmp_path: Path, symbols: int, special: list[str]) -> None:
    network = large(gated_bias=False, normalize_waveform=True, special_symbols=symbols, num_layers=1)
    write_fairseq(lively(network, num_clusters=7), tmp_path / "hubert.pt")
    content = torch.load(tmp_path / "hubert.pt", weights_only=True)

    assert content.keys() == S3PRL_KEYS | {"cfg", "model", "pretraining_head"}
    assert content["task_cfg"] == {"normalize": True, "sample_rate": 16000}
    cfg = content["model_cfg"]
    assert cfg["label_rate"] == 16000 / (5 * 2 * 3)  # of the strides of this small network
    assert (cfg["extractor_mode"], cfg["layer_norm_first"], cfg["final_dim"]) == ("layer_norm", True, 6)
    (symbols_of,) = content["dictionaries_symbols"]
    assert symbols_of == [*special, *"0123456"]
    weights = content["model_weight"]
    layer = [
        f"encoder.layers.0.{part}.{kind}"
        for part in (
            *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
            "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm",
        )
        for kind in ("weight", "bias")
    ]  # fmt: skip
    convs = [
        f"feature_extractor.conv_layers.{i}.{part}" for i in range(3) for part in ("0.weight", "2.1.weight", "2.1.bias")
    ]
    once = [
        "mask_emb", "layer_norm.weight", "layer_norm.bias", "post_extract_proj.weight", "post_extract_proj.bias",
        "encoder.pos_conv.0.bias", "encoder.pos_conv.0.weight_g", "encoder.pos_conv.0.weight_v",
        "encoder.layer_norm.weight", "encoder.layer_norm.bias",
        "final_proj.weight", "final_proj.bias", "label_embs_concat",
    ]  # fmt: skip
    assert weights.keys() == {*layer, *convs, *once}
    assert weights["label_embs_concat"].shape == (len(symbols_of), cfg["final_dim"])
    assert weights["encoder.pos_conv.0.weight_v"].shape == (24, 12, 7)


def test_the_tensors_of_a_hubert_are_in_its_pt_once(tmp_path: Path) -> None:
    model = lively(base(gated_bias=False))
    write_fairseq(model, tmp_path / "hubert.pt")
    size_bytes = sum(4 * tensor.numel() for tensor in model.state_dict().values())
    assert (tmp_path / "hubert.pt").stat().st_size < 2 * size_bytes


def test_the_pt_of_a_wavlm_holds_nothing_that_its_strict_loaders_do_not_expect(tmp_path: Path) -> None:
    write_fairseq(lively(base()), tmp_path / "wavlm.pt")
    content = torch.load(tmp_path / "wavlm.pt", weights_only=True)
    assert content.keys() == {"cfg", "model", "pretraining_head"}


def members(shard: Path) -> list[dict[str, object]]:
    """The samples of a tar as Hugging Face's reader makes them: one dict per key, json parsed."""
    found: dict[str, dict[str, object]] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None
            blob = file.read()
            found.setdefault(key, {"__key__": key})[suffix] = json.loads(blob) if suffix == "json" else blob
    return list(found.values())


def test_shards_with_phones_for_some_open_where_the_schema_is_inferred_from_the_first_samples(tmp_path: Path) -> None:
    """The reader of `datasets` infers the schema from five samples and casts all others to it."""
    known = ((0.0, 0.5, "a"), (0.5, 0.75, "b"))
    clips = [noise_clip(f"u{number}", 1.0) for number in range(7)]
    clips = [
        clip if number % 3 else clip.__class__(**{**vars(clip), "text": "some words", "phones": known})
        for number, clip in enumerate(clips)
    ]
    corpus = write_corpus(tmp_path / "corpus", clips)
    build_shards(SPEC, corpus, tmp_path / "out", 1, no_progress)
    samples = [sample for shard in sorted((tmp_path / "out").glob("*.tar")) for sample in members(shard)]
    assert len(samples) == 7

    for first in (samples[:5], samples[1:3], samples[3:4]):
        schema = pa.concat_tables([pa.Table.from_pylist([sample]) for sample in first]).schema
        table = pa.Table.from_pylist(samples, schema=schema)
        phones = table.column("json").combine_chunks().field("phones").to_pylist()
        texts = table.column("json").combine_chunks().field("text").to_pylist()
        assert phones[0] == [
            {"start_s": 0.0, "end_s": 0.5, "phone": "a"},
            {"start_s": 0.5, "end_s": 0.75, "phone": "b"},
        ]
        assert phones[1] == [{"start_s": 0.0, "end_s": 0.0, "phone": ""}]
        assert texts[:2] == ["some words", ""]


def test_a_json_member_says_unknown_without_another_type_and_old_members_are_read() -> None:
    waveform = np.zeros(10, np.float32)
    utterance = Utterance("a", "anna", "train", waveform, None, None, (Piece("a", 0, 0, 10),))
    again = from_json(to_json(utterance), waveform)
    assert (again.text, again.phones) == (None, None)
    old = json.loads(to_json(utterance)) | {"text": None, "phones": [[0.0, 0.5, "a"]]}
    read = from_json(json.dumps(old).encode(), waveform)
    assert (read.text, read.phones) == (None, ((0.0, 0.5, "a"),))
    assert from_json(json.dumps(old | {"phones": None}).encode(), waveform).phones is None


def test_hidden_states_take_one_utterance_and_refuse_what_is_no_float_tensor(tmp_path: Path) -> None:
    model = lively(large(normalize_waveform=True))
    write_hf(model, tmp_path / "hf")
    network = wavlm.load(tmp_path / "hf")
    waveform = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, alone = network.hidden_states(waveform[None]), network.hidden_states(waveform)
        assert [state.shape for state in alone] == [state.shape[1:] for state in together]
        assert all(torch.equal(one, both[0]) for one, both in zip(alone, together, strict=True))
        assert torch.equal(network.extract(waveform), network.extract(waveform[None])[0])
    for wrong, advice in (
        (waveform.numpy(), "torch.from_numpy"),
        ((waveform * 3000).to(torch.int16), "32768"),
        ((waveform * 3000).to(torch.int32)[None], "torch.int32"),
        (waveform > 0, "torch.bool"),
        ([0.0] * 2000, "builtins.list"),
        (waveform.reshape(1, 2, 1000), r"\(1, 2, 1000\); in"),
        (waveform[0], r"\(\)"),
    ):
        with pytest.raises(UsageError, match=rf"WAVEFORM_BAD: found .*{advice}"):
            network.hidden_states(wrong)
    with pytest.raises(UsageError, match=r"WAVEFORM_BAD: found the shape \(2000,\) with num_samples; .*no padding"):
        network.hidden_states(waveform, torch.tensor([2000]))
