"""Write and read the Hugging Face layout: a folder that transformers' WavLMModel or HubertModel loads.

It holds `config.json`, `model.safetensors` and `preprocessor_config.json`. The pre-training head is in a file of its
own, `pretraining_head.safetensors`, because these classes of transformers have no head. transformers has a class for
wav2vec 2.0 with its head, Wav2Vec2ForPreTraining: such a model is in one file.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from wavlm.export.heads import FoundHead, add_mask_embedding, find_contrastive_head, find_head, fresh_head
from wavlm.export.hf_config import (
    CONFIG_FILE,
    HEAD_FILE,
    config_of,
    preprocessor_of,
    quantizer_config,
    read_config,
    read_hf_network,
)
from wavlm.export.mapping import CONTRASTIVE_HEAD, HEAD, NEW_HF_NAMES, encoder_rows, from_layout, to_layout
from wavlm.export.weights import read_folder
from wavlm.nn import WavLM
from wavlm.nn.description import CODEBOOK_ENTRY, NetworkFile, read_header
from wavlm.nn.files import network_from, read_weights, save_tensors
from wavlm.storage.files import write_json
from wavlm.storage.seals import check_sealed


def write_hf(model: WavLM, folder: Path) -> None:
    """Write a folder that `from_pretrained` loads with no missing and no unexpected tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    network, weights, config = model.network, model.state_dict(), config_of(model.network).model_dump(mode="json")
    body = to_layout(weights, encoder_rows(network), "hf")
    head = to_layout(weights, list(CONTRASTIVE_HEAD if model.quantizer else HEAD), "hf")
    architecture = "WavLMModel" if network.gated_bias else "HubertModel"
    if model.quantizer and not network.gated_bias:
        config |= quantizer_config(model.quantizer, network.projection_width)
        architecture = "Wav2Vec2ForPreTraining"
        body, head = {f"wav2vec2.{name}": tensor for name, tensor in body.items()} | head, {}
    save_tensors(body, folder / "model.safetensors", {})
    # An untrained head is left out: whoever reads the folder would take it for a trained one.
    if head and not model.fresh_head:
        save_tensors(head, folder / HEAD_FILE, {CODEBOOK_ENTRY: model.codebook})
    write_json(folder / "preprocessor_config.json", preprocessor_of(network))
    write_json(folder / CONFIG_FILE, {**config, "architectures": [architecture]})


def read_hf(folder: Path, num_clusters: int) -> WavLM:
    """Read a folder. A model without a head gets an untrained one for `num_clusters`.

    Raises ImportRefusedError, and BadDataError (CHECKSUM) for a file of a sealed folder that was changed or is gone.
    """
    tensors = read_folder(folder)
    found = _read_head(folder) or find_contrastive_head(tensors, "hf")
    network = read_hf_network(folder, found.projection_width if found else None)
    head = found or fresh_head(network, num_clusters)
    theirs = add_mask_embedding(_name_body(tensors), "masked_spec_embed", network, folder)
    weights = from_layout(theirs, encoder_rows(network), "hf") | head.weights
    content = NetworkFile(network=network, num_clusters=head.num_clusters, quantizer=head.quantizer)
    model = network_from(content, weights, where=folder)
    model.fresh_head, model.codebook = head.fresh, head.codebook
    return model


def _name_body(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names of the model without a task head, also from the files of a model with one."""
    for prefix in ("wavlm.", "hubert.", "wav2vec2."):
        if any(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {NEW_HF_NAMES.get(name, name): tensor for name, tensor in tensors.items()}


def _read_head(folder: Path) -> FoundHead | None:
    special_symbols, path = read_config(folder).pretraining.special_symbols, folder / HEAD_FILE
    check_sealed(path)
    if not path.is_file():
        return None
    tensors = read_weights(path)
    return find_contrastive_head(tensors, "hf") or find_head(tensors, special_symbols, read_header(path).codebook)
