"""What the network computes when nothing else is said, and at the ends of what may be asked."""

from __future__ import annotations

import pytest
import torch

from tests.nn.networks import base, large, lively
from wavlm.specs.shapes import num_frames

WAVEFORMS = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))


class Batch:
    """Two crops, every third frame masked."""

    waveforms = WAVEFORMS
    mask = torch.arange(num_frames(2000, base().conv_layers)).expand(2, -1) % 3 == 0
    labels = torch.arange(mask.shape[1]).expand(2, -1) % 5


def test_the_loss_divides_cosines_by_a_tenth_and_predicts_masked_frames_alone() -> None:
    model = lively(base())
    terms = model.forward_pretrain(Batch())
    same = model.forward_pretrain(Batch(), temperature=0.1, with_unmasked=False)
    called = model(Batch())
    assert terms.masked.loss.item() == same.masked.loss.item() == called.masked.loss.item()
    assert terms.unmasked is same.unmasked is called.unmasked is None
    assert terms.masked.loss.item() != model.forward_pretrain(Batch(), temperature=0.2).masked.loss.item()


@pytest.mark.parametrize("network", [base(), large()], ids=["base", "large"])
def test_states_are_the_input_and_one_per_layer_that_is_asked_for(network: object) -> None:
    model = lively(network)  # type: ignore[arg-type]
    whole = model.hidden_states(WAVEFORMS)
    assert len(whole) == 1 + model.network.num_layers
    for count in range(model.network.num_layers + 1):
        states = model.hidden_states(WAVEFORMS, num_layers=count)
        assert len(states) == 1 + count
        assert all(torch.equal(one, other) for one, other in zip(states, whole, strict=False))
    for count in (-1, model.network.num_layers + 1):
        with pytest.raises(ValueError, match="num_layers"):
            model.hidden_states(WAVEFORMS, num_layers=count)


def test_one_utterance_is_the_only_row_of_a_batch() -> None:
    model = lively(base())
    alone = model.hidden_states(WAVEFORMS[0])
    row = model.hidden_states(WAVEFORMS[:1])
    assert all(torch.equal(one, other[0]) for one, other in zip(alone, row, strict=True))
