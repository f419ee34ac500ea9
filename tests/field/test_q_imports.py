"""Kind Q, imports. People reported: folders of transformers that were refused though they are whole: a model without
a mask embedding, weights in several files, weights with other names of the weight norm.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import wavlm
from tests.nn.networks import base, in_transformers, large, lively
from tests.numerics import num_operations, require_close
from wavlm.export import ImportRefusedError, import_model
from wavlm.export.fairseq import write_fairseq
from wavlm.export.hf import write_hf
from wavlm.nn import ModelFileError, WavLM, load_model
from wavlm.nn.files import weights_of
from wavlm.specs import NetworkSpec

# Known to old versions of transformers, and to new ones.
OLD, NEW = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
TAPS = "encoder.pos_conv_embed.conv"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def waveforms() -> Tensor:
    return torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))


def save_theirs(network: NetworkSpec, folder: Path, **config: object) -> WavLM:
    """A folder as transformers itself writes it, and the same network here."""
    model = lively(network)
    theirs = in_transformers(model)
    theirs.config.update(config)
    theirs.save_pretrained(folder)
    return model


def assert_same_states(ours: WavLM, found: WavLM, waveforms: Tensor) -> None:
    with torch.inference_mode():
        pairs = zip(ours.hidden_states(waveforms), found.hidden_states(waveforms), strict=True)
        for mine, other in pairs:
            require_close(mine, other, num_operations(ours.network, mine.shape[1]))


def change_weights(path: Path, change: dict[str, str | None]) -> None:
    """Rename tensors of a safetensors file; None removes one."""
    weights = load_file(path)
    renamed = {change.get(name, name): tensor for name, tensor in weights.items()}
    save_file({name: tensor for name, tensor in renamed.items() if name is not None}, path, {"format": "pt"})


def split_weights(folder: Path, files: int) -> None:
    """Spread model.safetensors over several files with an index, as releases of large models are."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-{number + 1:05d}-of-{files:05d}.safetensors" for number in range(files)]
    place = {name: names[number % files] for number, name in enumerate(sorted(weights))}
    for file in names:
        save_file({name: weights[name] for name in weights if place[name] == file}, folder / file, {"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": place}))


@pytest.mark.parametrize("network", [base(), large(normalize_waveform=True), base(gated_bias=False)])
def test_a_folder_that_transformers_wrote_gives_its_hidden_states(
    network: NetworkSpec, tmp_path: Path, waveforms: Tensor
) -> None:
    model = save_theirs(network, tmp_path / "hf")
    (tmp_path / "hf/preprocessor_config.json").write_text(json.dumps({"do_normalize": network.normalize_waveform}))
    assert_same_states(model, wavlm.load(tmp_path / "hf"), waveforms)


@pytest.mark.parametrize("names", [OLD, NEW])
def test_both_names_of_the_weight_norm_are_read(names: tuple[str, str], tmp_path: Path, waveforms: Tensor) -> None:
    model = lively(base())
    write_hf(model, tmp_path / "hf")
    new_names = {f"{TAPS}.{old}": f"{TAPS}.{name}" for old, name in zip(OLD, names, strict=True)}
    change_weights(tmp_path / "hf/model.safetensors", new_names)
    for (name, mine), (_, found) in zip(weights_of(model), weights_of(wavlm.load(tmp_path / "hf")), strict=True):
        assert torch.equal(mine, found), name


@pytest.mark.parametrize("layout", ["hf", "pt"])
def test_a_model_without_a_mask_embedding_gets_a_fresh_one_and_it_is_said(
    layout: str, tmp_path: Path, waveforms: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    """transformers leaves it out if `mask_time_prob` is 0, fairseq's tools in some conversions."""
    if layout == "hf":
        model = lively(base())
        path = tmp_path / "hf"
        write_hf(model, path)
        change_weights(path / "model.safetensors", {"masked_spec_embed": None})
    else:
        path = tmp_path / "model.pt"
        model = lively(base())
        write_fairseq(model, path)
        content = torch.load(path, weights_only=True)
        del content["model"]["mask_emb"]
        torch.save(content, path)

    with caplog.at_level(logging.WARNING):
        found = wavlm.load(path)

    assert "no mask embedding" in caplog.text
    assert str(path) in caplog.text
    assert_same_states(model, found, waveforms)
    fresh = found.mask_embedding.detach()
    assert 0 <= float(fresh.min()) < float(fresh.max()) <= 1
    assert torch.equal(found.mask_embedding, wavlm.load(path).mask_embedding)  # the same bytes every time
    import_model(path, tmp_path / "ours")
    assert torch.equal(load_model(tmp_path / "ours").mask_embedding, found.mask_embedding)


def test_nothing_is_said_of_a_mask_embedding_that_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_hf(lively(base()), tmp_path / "hf")
    wavlm.load(tmp_path / "hf")
    assert "mask embedding" not in caplog.text


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_in_several_files_are_read(kind: str, tmp_path: Path, waveforms: Tensor) -> None:
    model = lively(large())
    folder = tmp_path / "hf"
    write_hf(model, folder)
    split_weights(folder, 3)
    if kind == "bin":
        for path in folder.glob("model-*.safetensors"):
            torch.save(load_file(path), path.with_suffix(".bin"))
            path.unlink()
        index = (folder / INDEX).read_text().replace(".safetensors", ".bin")
        (folder / INDEX).unlink()
        (folder / "pytorch_model.bin.index.json").write_text(index)
    assert_same_states(model, wavlm.load(folder), waveforms)


SECOND = "model-00002-of-00003.safetensors"


def break_release(folder: Path, broken: str) -> None:
    """Leave a release of three files as a failed download or a careless copy leaves it."""
    second, index = folder / SECOND, folder / INDEX
    if broken == "elsewhere":
        second.rename(folder.parent / SECOND)
        index.write_text(index.read_text().replace(SECOND, f"../{SECOND}"))
    elif broken == "truncated":
        second.write_bytes(second.read_bytes()[:-9])
    elif broken == "swapped":
        second.write_bytes((folder / "model-00001-of-00003.safetensors").read_bytes())
    elif broken == "pointer":
        second.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 400\n")
    elif broken.startswith("index "):
        index.write_text(broken.removeprefix("index "))
    for path in {"missing": [second], "nothing": [*folder.glob("model-*"), index]}.get(broken, []):
        path.unlink()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("missing", rf"'{SECOND}' is listed but is not a file"),
        ("elsewhere", rf"'\.\./{SECOND}' is listed but is not a file beside it"),
        ("truncated", r"no complete safetensors file"),
        ("swapped", r"does not hold what the index lists"),
        ("pointer", r"pointer of Git LFS.*git lfs pull"),
        ("index {", r"weight_map cannot be read"),
        ("index []", r"weight_map cannot be read"),
        ('index {"weight_map": {"a": 1}}', r"1 is listed but is not a file"),
        ("nothing", r"there are no weights.*download complete"),
    ],
)
def test_a_release_that_is_not_whole_is_refused_and_the_file_is_named(
    broken: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "hf"
    write_hf(lively(base()), folder)
    split_weights(folder, 3)
    break_release(folder, broken)
    with pytest.raises(ModelFileError, match=f"MODEL_UNUSABLE: .*{message}"):
        wavlm.load(folder)


def test_the_settings_of_a_processor_of_transformers_5_are_read(tmp_path: Path) -> None:
    """A group-norm model whose waveforms are normalised, as facebook/hubert-base-ls960 says of itself."""
    folder = tmp_path / "hf"
    write_hf(lively(base(gated_bias=False, normalize_waveform=True)), folder)
    content = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": content}))
    assert wavlm.load(folder).network.normalize_waveform
    (folder / "processor_config.json").write_text("[]")
    with pytest.raises(ImportRefusedError, match=r"processor_config\.json"):
        wavlm.load(folder)


def test_a_file_in_s3prls_form_is_read(tmp_path: Path, waveforms: Tensor) -> None:
    model = lively(large(gated_bias=False, normalize_waveform=True, special_symbols=4))
    write_fairseq(model, tmp_path / "full.pt")
    content = torch.load(tmp_path / "full.pt", weights_only=True)
    keys = ("task_cfg", "model_cfg", "model_weight", "dictionaries_symbols")
    torch.save({key: content[key] for key in keys}, tmp_path / "converted.pt")
    found = wavlm.load(tmp_path / "converted.pt")
    assert found.network == model.network
    assert found.num_clusters == model.num_clusters
    assert_same_states(model, found, waveforms)
