"""A recogniser in transformers: the same logits, the same letters, and a folder that `wavlm.load` reads, too."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor

from tests.tiny_specs import tiny_large_network, tiny_network
from wavlm.errors import UsageError
from wavlm.export import load
from wavlm.export.ctc import LetterLayer, write_ctc
from wavlm.nn import WavLM
from wavlm.specs import NetworkSpec

pytestmark = [pytest.mark.numeric, pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")]
SYMBOLS = " ETA'É"


def recogniser(network: NetworkSpec) -> tuple[WavLM, LetterLayer]:
    torch.manual_seed(3)
    model = WavLM(network, 8).eval()
    return model, LetterLayer(torch.randn(7, network.width), torch.randn(7), SYMBOLS)


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "name"),
    [
        (tiny_network(), "WavLMForCTC"),
        (tiny_large_network(), "WavLMForCTC"),
        (tiny_network(gated_bias=False), "HubertForCTC"),
    ],
)
def test_logits_and_letters_are_the_same_in_transformers(network: NetworkSpec, name: str, tmp_path: Path) -> None:
    model, layer = recogniser(network)
    write_ctc(model, layer, tmp_path)
    wave = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    ours = model.extract(torch.from_numpy(wave)[None]) @ layer.weight.T + layer.bias
    theirs, info = AutoModelForCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == name
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    processor = AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(wave, sampling_rate=16000, return_tensors="pt")
    found = theirs.eval()(**inputs).logits
    assert float((found - ours).abs().max()) < 1e-5 * max(1.0, float(ours.abs().max()))
    best = [number for number, _ in groupby(ours[0].argmax(-1).tolist()) if number]
    assert processor.batch_decode(found.argmax(-1))[0] == "".join(SYMBOLS[number - 1] for number in best).strip()
    assert processor.tokenizer.decode([3, 3, 0, 3, 1, 1, 6, 0]) == "TT É"
    assert processor.tokenizer("TEÉ A").input_ids == [3, 2, 6, 1, 4]


@torch.no_grad()
def test_a_padded_batch_of_the_large_style_has_the_logits_of_each_alone(tmp_path: Path) -> None:
    model, layer = recogniser(tiny_large_network())
    write_ctc(model, layer, tmp_path)
    rng = np.random.default_rng(1)
    waves = [rng.normal(size=count).astype(np.float32) for count in (16000, 9000)]
    inputs = AutoProcessor.from_pretrained(tmp_path)(waves, sampling_rate=16000, return_tensors="pt", padding=True)
    found = AutoModelForCTC.from_pretrained(tmp_path).eval()(**inputs).logits[1]
    alone = model.extract(torch.from_numpy(waves[1])[None])[0] @ layer.weight.T + layer.bias
    assert float((found[: len(alone)] - alone).abs().max()) < 1e-4


@torch.no_grad()
def test_the_folder_is_read_back_as_a_model(tmp_path: Path) -> None:
    model, layer = recogniser(tiny_network())
    write_ctc(model, layer, tmp_path)
    wave = torch.randn(1, 8000)
    assert torch.equal(load(tmp_path).extract(wave), model.extract(wave))


@pytest.mark.parametrize("symbols", ["AB|", "ABA", ["A", "<s>"]])
def test_symbols_that_are_no_letters_are_refused(symbols: list[str] | str, tmp_path: Path) -> None:
    layer = LetterLayer(torch.zeros(4, 16), torch.zeros(4), [" ", *symbols])
    with pytest.raises(UsageError, match="ALPHABET_BAD"):
        write_ctc(WavLM(tiny_network(), 8), layer, tmp_path)
