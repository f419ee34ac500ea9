"""Continuous separation: the authors' Conformer on the same weights, spectra that come back, and losses by hand."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.evaluation.reference import values
from tests.evaluation.reference.values import CSS, NUM_CSS_FRAMES, uniform
from tests.numerics import require_close
from wavlm.evaluation.heads.css.separator import (
    NUM_FREQUENCIES,
    Separator,
    align,
    log_spectrum,
    separation_loss,
    spectrum,
    waveform,
)
from wavlm.evaluation.tasks.task import Size
from wavlm.specs.separation import SeparatorHead

pytestmark = pytest.mark.numeric
REFERENCE = np.load(Path(__file__).parents[1] / "reference/css.npz")
OPERATIONS = 4000
NARROW = SeparatorHead(
    type="conformer",
    takes="spectrum",
    width=CSS["width"],
    layers=CSS["layers"],
    attention_heads=CSS["heads"],
    feed_forward=CSS["feed_forward"],
    kernel=CSS["kernel"],
)
NAMES = {"conformer.input.": "conformer.embed.0.", "conformer.norm.": "conformer.embed.1.", "output.": "linear."}
NAMES |= {"conformer.positions.": "conformer.pos_emb.pe_k."}
OF_LAYER = {"attention.output": "self_attn.linear_out", "convolution.norm": "conv.layer_norm", "norm": "layer_norm"}
OF_LAYER |= {"convolution.gates": "conv.pw_conv_1", "convolution.scale": "conv.pw_conv_2"}
OF_LAYER |= {"convolution.depthwise": "conv.dw_conv_1d", "convolution.batch_norm": "conv.BN"}
OF_LAYER |= {"attention.norm": "self_attn.layer_norm"}
OF_LAYER |= {
    f"attention.{name}": f"self_attn.linear_{name[0] if name != 'keys' else 'k'}"
    for name in ("queries", "keys", "values")
}
for ours, theirs in (("first", "feed_forward_in"), ("second", "feed_forward_out")):
    OF_LAYER |= {f"{ours}.0": f"{theirs}.layer_norm", f"{ours}.1": f"{theirs}.net.0", f"{ours}.4": f"{theirs}.net.3"}


def like_reference(head: Separator) -> Separator:
    """The head with the authors' weights, in eval mode. Their pointwise convolutions have two more dimensions."""
    state = {}
    for name, it in head.state_dict().items():
        if name == "sum.weights" or not it.dim():
            continue
        theirs = _rename(name)
        shape = tuple(it.shape) + ((1, 1) if ("gates.weight" in name or "scale.weight" in name) else ())
        state[name] = torch.from_numpy(values.tensor(theirs, shape)).view(it.shape)
    missing, unexpected = head.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name for name in missing if "num_batches" not in name} == {"sum.weights"}
    return head.eval()


def _rename(name: str) -> str:
    if not name.startswith("conformer.layers."):
        ours = next(it for it in NAMES if name.startswith(it))
        return NAMES[ours] + name.removeprefix(ours)
    number, _, rest = name.removeprefix("conformer.layers.").partition(".")
    module, _, kind = rest.rpartition(".")
    return f"conformer.encoders.{number}.{OF_LAYER[module]}.{kind}"


def test_frames_and_masks_are_those_of_the_authors_network() -> None:
    head = like_reference(Separator(Size(1, 4, 320), NARROW))
    frames = torch.from_numpy(uniform("css frames", 1, NUM_CSS_FRAMES, NUM_FREQUENCIES))
    with torch.inference_mode():
        encoded = head.conformer(frames, torch.ones(1, NUM_CSS_FRAMES, dtype=torch.bool))
        masks = torch.sigmoid(head.output(encoded)).view(1, NUM_CSS_FRAMES, 3, NUM_FREQUENCIES).transpose(1, 2)
    require_close(encoded, REFERENCE["encoded"], OPERATIONS)
    require_close(masks[:, :, ::4], REFERENCE["masks"], OPERATIONS)


@pytest.mark.parametrize("num_samples", [1, 255, 256, 512, 5000, 16_000])
def test_masks_of_one_give_the_mixture_back(num_samples: int) -> None:
    mixture = torch.from_numpy(uniform("mixture", 2, num_samples))
    found = waveform(spectrum(mixture), num_samples)
    require_close(found, mixture, 100)


def test_logarithms_are_normalised_over_real_frames() -> None:
    waveforms = torch.from_numpy(uniform("speech", 2, 4096))
    waveforms[1, 2048:] = 0
    spectra = spectrum(waveforms)
    lengths = torch.tensor([18, 10])
    found = log_spectrum(spectra, lengths)
    alone = log_spectrum(spectra[1:, :10], torch.tensor([10]))
    require_close(found[1:, :10], alone, 200)
    logs = spectra[0].abs().clamp(min=torch.finfo(torch.float32).eps).log()
    require_close(found[0], (logs - logs.mean(0)) / logs.std(0), 200, size=4.0)


def test_states_are_interpolated_to_the_middles_of_spectral_frames() -> None:
    """Frame n of a model is around sample 320 n + 200, frame n of the spectrum around 256 n."""
    frames = (torch.arange(10.0) * 320 + 200).view(1, 10, 1)
    found = align(frames, torch.tensor([10]), 320, 13)[0, :, 0]
    expected = [min(max(256.0 * number, 200.0), 9 * 320 + 200.0) for number in range(13)]
    require_close(found, torch.tensor(expected), 20)


def test_the_order_of_voices_is_free_and_noise_has_its_own_mask() -> None:
    torch.manual_seed(0)
    mixture, noise = (torch.randn(2, 6, 257, dtype=torch.complex64) for _ in range(2))
    voices = torch.randn(2, 2, 6, 257, dtype=torch.complex64)
    masks, lengths = torch.rand(2, 3, 6, 257), torch.tensor([6, 4])
    found = separation_loss(masks, mixture, voices, noise, lengths)
    total = 0.0
    for row, length in enumerate((6, 4)):
        errors = []
        for order in permutations(range(2)):
            sides = [*(voices[row, it] for it in order), noise[row]]
            errors.append(sum(_error(masks[row, n], mixture[row], it, length) for n, it in enumerate(sides)))
        total += min(errors) / 3 / 2
    assert float(found) == pytest.approx(total, rel=1e-4)
    swapped = separation_loss(masks, mixture, voices.flip(1), noise, lengths)
    assert float(swapped) == pytest.approx(float(found), rel=1e-6)


def _error(mask: Tensor, mixture: Tensor, side: Tensor, length: int) -> float:
    """Of one mask, by the definition of the phase-sensitive target."""
    cosine = torch.cos(mixture.angle() - side.angle()).clamp(min=0)
    return float((mask * mixture.abs() - side.abs() * cosine)[:length].square().mean())


@pytest.mark.parametrize("takes", ["both", "spectrum", "states"])
def test_a_mixture_is_the_same_alone_and_beside_a_longer_one(takes: str) -> None:
    torch.manual_seed(1)
    head = Separator(Size(2, 4, 320), NARROW.model_copy(update={"takes": takes})).eval()
    waveforms = torch.from_numpy(uniform("mixtures", 2, 6400))
    waveforms[1, 3200:] = 0
    states = torch.from_numpy(uniform("states", 2, 2, 19, 4))
    with torch.inference_mode():
        both = head(spectrum(waveforms), states, torch.tensor([19, 9]), torch.tensor([27, 14]))
        alone = head(spectrum(waveforms[1:, :3200])[:, :14], states[1:, :, :9], torch.tensor([9]), torch.tensor([14]))
    assert isinstance(head, nn.Module)
    require_close(both[1:, :, :14], alone, OPERATIONS)
