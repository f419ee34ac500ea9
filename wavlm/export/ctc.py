"""Write a fine-tuned recogniser as a folder that transformers' WavLMForCTC and its processor load.

It holds the network and the linear layer, `vocab.json` and the settings of the tokenizer and the feature extractor.
A network without gated bias is a HubertForCTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from wavlm.errors import UsageError
from wavlm.export.hf_config import CONFIG_FILE, config_of, preprocessor_of
from wavlm.export.mapping import encoder_rows, to_layout
from wavlm.nn import WavLM
from wavlm.nn.files import save_tensors
from wavlm.storage.files import write_json

SPACE, DELIMITER = " ", "|"  # in texts; in vocabularies, as fairseq writes it
BLANK, UNKNOWN = "<pad>", "<unk>"  # CTC's blank is the padding there; unknown letters have no class of the network


@dataclass(frozen=True)
class LetterLayer:
    """The linear layer of a recogniser, whose class 0 is the blank; the others are symbols, in this order."""

    weight: Tensor  # (C, D)
    bias: Tensor  # (C,)
    symbols: Sequence[str]
    dropout: float = 0.0


def write_ctc(model: WavLM, layer: LetterLayer, folder: Path) -> None:
    """Write the folder. Raises UsageError (ALPHABET_BAD) for symbols that a tokenizer would not give back."""
    vocabulary = vocabulary_of(layer.symbols)
    folder.mkdir(parents=True, exist_ok=True)
    network = model.network
    prefix = "wavlm" if network.gated_bias else "hubert"
    tensors = to_layout(model.state_dict(), encoder_rows(network), "hf")
    named = {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
    letters = {"lm_head.weight": layer.weight, "lm_head.bias": layer.bias}
    save_tensors({**named, **{name: tensor.detach().cpu() for name, tensor in letters.items()}}, _weights(folder), {})
    write_json(folder / "vocab.json", vocabulary)
    write_json(folder / "tokenizer_config.json", _tokenizer())
    extractor = {**preprocessor_of(network), "processor_class": "Wav2Vec2Processor"}
    write_json(folder / "preprocessor_config.json", extractor)
    write_json(
        folder / CONFIG_FILE,
        {
            **config_of(network).model_dump(mode="json"),
            "architectures": ["WavLMForCTC" if network.gated_bias else "HubertForCTC"],
            "vocab_size": len(vocabulary),
            "pad_token_id": 0,
            "bos_token_id": None,
            "eos_token_id": None,
            "final_dropout": layer.dropout,
            "ctc_loss_reduction": "sum",
            "ctc_zero_infinity": True,
        },
    )


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def vocabulary_of(symbols: Sequence[str]) -> dict[str, int]:
    """The numbers of the blank and of symbols in a vocabulary. Raises UsageError (ALPHABET_BAD)."""
    names = [BLANK, *(DELIMITER if symbol == SPACE else symbol for symbol in symbols)]
    if bad := [name for name in names[1:] if len(name) != 1 or names.count(name) > 1]:
        raise UsageError(
            "ALPHABET_BAD",
            f"the symbol {bad[0]!r} cannot stand in a vocabulary of letters, expected single letters, each once, and "
            f"{DELIMITER!r} for spaces alone; among {len(symbols)} symbols; use `drop` or another alphabet",
        )
    return {name: number for number, name in enumerate(names)}


def _tokenizer() -> dict[str, object]:
    return {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "processor_class": "Wav2Vec2Processor",
        "pad_token": BLANK,
        "unk_token": UNKNOWN,
        "bos_token": None,
        "eos_token": None,
        "word_delimiter_token": DELIMITER,
        "replace_word_delimiter_char": SPACE,
        "do_lower_case": False,
    }
