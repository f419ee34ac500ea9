"""The network against transformers: every hidden state and gradient, padded and not."""

import pytest
import torch
from torch import Tensor

from tests.nn.networks import base, in_transformers, large, lively
from tests.numerics import num_operations, require_all_close, require_close
from wavlm.export.mapping import NEW_HF_NAMES, encoder_rows, to_layout
from wavlm.nn import WavLM
from wavlm.specs import NetworkSpec
from wavlm.specs.shapes import num_frames

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask"),
]

NETWORKS = {
    "base": base(),
    "large": large(),
    "base hubert": base(gated_bias=False),
    "large hubert, conv bias": large(gated_bias=False, conv_bias=True),
    "mixed styles": base(extractor_norm="layer", conv_bias=True),
    "mixed the other way": large(extractor_norm="group", num_layers=2, width=48, num_heads=6),
}
each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
NUM_SAMPLES = 2500
LENGTHS = (2500, 1400, 700)


@pytest.fixture
def waveforms() -> Tensor:
    return torch.randn(3, NUM_SAMPLES, generator=torch.Generator().manual_seed(0))


@each_network
def test_hidden_states_equal_transformers(network: NetworkSpec, waveforms: Tensor) -> None:
    model = lively(network)
    with torch.no_grad():
        ours = [*model.hidden_states(waveforms), model.extract(waveforms)]
        found = in_transformers(model)(waveforms, output_hidden_states=True)
    for mine, theirs in zip(ours, [*found.hidden_states, found.last_hidden_state], strict=True):
        require_close(mine, theirs, num_operations(network, mine.shape[1]))


@each_network
def test_padded_hidden_states_equal_transformers(network: NetworkSpec, waveforms: Tensor) -> None:
    model, num_samples = lively(network), torch.tensor(LENGTHS)
    attention_mask = (torch.arange(NUM_SAMPLES) < num_samples[:, None]).long()
    with torch.no_grad():
        ours = model.hidden_states(waveforms, num_samples)  # what stands in the padding is ignored
        found = in_transformers(model)(
            waveforms * attention_mask, attention_mask=attention_mask, output_hidden_states=True
        )
    for mine, theirs in zip(ours, found.hidden_states, strict=True):
        for row, length in enumerate(LENGTHS):
            valid = num_frames(length, network.conv_layers)
            operations = num_operations(network, valid)
            require_close(mine[row, :valid], theirs[row, :valid], operations)


@each_network
def test_gradients_equal_transformers(network: NetworkSpec, waveforms: Tensor) -> None:
    model = lively(network).double()
    theirs = in_transformers(model).double()
    weights = torch.randn(network.width, generator=torch.Generator().manual_seed(1)).double()
    (model.extract(waveforms.double()) @ weights).square().sum().backward()
    (theirs(waveforms.double()).last_hidden_state @ weights).square().sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found["mask_embedding"] = torch.zeros(network.width)
    ours = to_layout(found, encoder_rows(network), "hf")
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    assert expected.keys() | {"masked_spec_embed"} == dict(theirs.named_parameters()).keys()
    operations = 3 * num_operations(network, num_frames(NUM_SAMPLES, network.conv_layers))
    require_all_close({name: ours[NEW_HF_NAMES.get(name, name)] for name in expected}, expected, operations)


def test_an_utterance_is_the_same_padded_in_the_layer_style(waveforms: Tensor) -> None:
    network = large(normalize_waveform=True)
    model = lively(network)
    with torch.no_grad():
        together = model.hidden_states(waveforms * 3 + 1, torch.tensor(LENGTHS))
        for row, length in enumerate(LENGTHS):
            alone = model.hidden_states(waveforms[row : row + 1, :length] * 3 + 1)
            for padded, single in zip(together, alone, strict=True):
                valid = single.shape[1]
                require_close(padded[row, :valid], single[0], num_operations(network, valid))


def test_large_normalises_the_waveform_with_eps_of_the_training_code(waveforms: Tensor) -> None:
    """rms 0.003: eps 1e-5 and 1e-7 differ by 1.45 in amplitude (section 7)."""
    raw, normalising = lively(large()), lively(large(normalize_waveform=True))
    quiet = 0.003 * waveforms + 0.1
    centred = quiet.double() - quiet.double().mean(1, keepdim=True)
    by_hand = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    with torch.no_grad():
        expected = raw.extract(by_hand.float())
        # Taking the mean away leaves 0.003 of 0.1, whose rounding of 11 sums in pairs counts more.
        largest = 0.1 / 0.003 * float(expected.abs().max())
        require_close(normalising.extract(quiet), expected, 11, size=largest)


def test_extraction_can_stop_early(waveforms: Tensor) -> None:
    model = lively(base())
    with torch.no_grad():
        every = model.hidden_states(waveforms)
        first = model.hidden_states(waveforms, num_layers=2)
    assert len(first) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, every, strict=False))


def test_utterances_too_short_or_longer_than_their_row_are_refused(waveforms: Tensor) -> None:
    model: WavLM = lively(base())
    with pytest.raises(ValueError, match=r"\[2500, 14, 700\] samples, expected 30\.\.2500"):
        model.hidden_states(waveforms, torch.tensor([2500, 14, 700]))
    with pytest.raises(ValueError, match=r"2501, 700\] samples, expected 30\.\.2500"):
        model.hidden_states(waveforms, torch.tensor([2500, 2501, 700]))
