"""Losses with a best order, CTC's decoding, and spectra: worked by hand, or against other libraries."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from tests.numerics import require_close
from wavlm.evaluation.heads.ctc import ctc_greedy, ctc_loss
from wavlm.evaluation.heads.diarizer import diarization_loss
from wavlm.evaluation.heads.mask import (
    NUM_FREQUENCIES,
    mask_loss,
    masked_waveform,
    num_spectrum_frames,
    phase_sensitive_targets,
    spectrum,
    without_end_impulse,
)

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_the_order_of_speakers_and_of_sources_does_not_matter(order: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits, activity, lengths = torch.randn(2, 9, 3), (torch.randn(2, 9, 3) > 0).float(), torch.tensor([9, 6])
    swapped = torch.stack([activity[0][:, list(order)], activity[1]])  # each utterance may have its own order
    require_close(diarization_loss(logits, swapped, lengths), diarization_loss(logits, activity, lengths), 100)
    masks, sources = torch.rand(2, 3, 9, 257), torch.randn(2, 3, 9, 257, dtype=torch.complex64)
    mixture, other = sources.sum(1), torch.stack([sources[0, list(order)], sources[1]])
    require_close(mask_loss(masks, mixture, other, lengths), mask_loss(masks, mixture, sources, lengths), 20_000)


def test_diarization_loss_of_two_frames_by_hand() -> None:
    """Frame 1: only the first speaks; frame 2: both. In the logits it is the second: the other order is the best."""
    logits = torch.tensor([[[-2.0, 2.0], [2.0, 2.0]]])
    activity = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    right = math.log(1 + math.exp(-2))  # -log sigmoid(2)
    found = diarization_loss(logits, activity, torch.tensor([2]))
    assert float(found) == pytest.approx(right, rel=1e-6)


def test_mask_loss_by_hand() -> None:
    """One frequency is not 0: sources 3 and -1, mixture 2. The phase of -1 is opposite, so its target is 0."""
    sources = torch.zeros(1, 2, 1, NUM_FREQUENCIES, dtype=torch.complex64)
    sources[0, :, 0, 5] = torch.tensor([3.0, -1.0])
    masks = torch.zeros(1, 2, 1, NUM_FREQUENCIES)
    masks[0, :, 0, 5] = torch.tensor([0.5, 1.0])  # estimates 1 and 2: the swapped order is better: (2 - 3)^2 + 1^2
    found = mask_loss(masks, sources.sum(1), sources, torch.tensor([1]))
    assert float(found) == pytest.approx(2 / 2)


def test_targets_of_sources_at_right_angles_to_the_mixture_are_zero() -> None:
    mixture = torch.ones(1, 1, 3, dtype=torch.complex64)
    sources = torch.tensor([1j, 2.0, math.sqrt(2) * (1 + 1j)]).to(torch.complex64).view(1, 1, 1, 3)
    found = phase_sensitive_targets(mixture, sources).flatten()
    assert found.tolist() == pytest.approx([0, 2, math.sqrt(2)], abs=1e-6)


def test_greedy_decoding_joins_repetitions_and_keeps_those_parted_by_a_blank() -> None:
    best = torch.tensor([[1, 1, 0, 1, 2, 2], [0, 0, 3, 3, 1, 1]])
    logits = torch.nn.functional.one_hot(best, 4).float()
    assert ctc_greedy(logits, torch.tensor([6, 4])) == [[1, 1, 2], [3]]


def test_ctc_loss_of_all_paths_counted() -> None:
    """Two frames, classes blank and a: the paths of "a" are aa, ab, ba. Uniform: 3 of 9 paths, one symbol."""
    found = ctc_loss(torch.zeros(1, 2, 3), torch.tensor([2]), [[1]])
    assert float(found) == pytest.approx(math.log(3), rel=1e-6)


def test_a_transcript_that_does_not_fit_adds_nothing_and_no_gradient() -> None:
    logits = torch.zeros(2, 2, 3, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([2, 2]), [[1], [1, 1]])  # "aa" needs three frames
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(3) / 2, rel=1e-6)
    assert logits.grad is not None
    assert not logits.grad[1].any()


def test_a_blank_in_a_transcript_is_refused() -> None:
    with pytest.raises(ValueError, match="holds the symbol 0, which is CTC's blank"):
        ctc_loss(torch.zeros(1, 2, 3), torch.tensor([2]), [[0]])


@pytest.mark.parametrize("num_samples", [3200, 3519, 4001])
def test_spectra_are_fourier_transforms_of_windows_centred_on_multiples_of_the_hop(num_samples: int) -> None:
    sound = np.random.default_rng(0).standard_normal(num_samples)
    padded = np.pad(sound, 256)
    starts = range(0, num_samples + 1, 320)
    expected = np.stack([np.fft.rfft(get_window("hann", 512) * padded[start : start + 512]) for start in starts])
    found = spectrum(torch.from_numpy(sound)[None])[0]
    assert len(found) == int(num_spectrum_frames(torch.tensor(num_samples)))
    for ours, theirs in ((found.real, expected.real), (found.imag, expected.imag)):
        require_close(ours, theirs.copy(), 512)


def test_the_spectrum_of_an_utterance_does_not_depend_on_what_follows() -> None:
    sound = torch.randn(1, 3333, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(sound, (0, 900))
    alone = spectrum(sound)
    assert torch.equal(spectrum(padded)[:, : alone.shape[1]], alone)


def test_a_mask_of_ones_gives_the_waveform_back() -> None:
    sound = torch.randn(4000, generator=torch.Generator().manual_seed(2))
    mixture = spectrum(sound[None])[0]
    found = masked_waveform(mixture, torch.ones(mixture.shape), 4000)
    require_close(found[:3900], sound[:3900], 1000)


@pytest.mark.parametrize("sound", [torch.zeros(4000), torch.ones(300), torch.ones(5000)])
def test_a_waveform_without_an_impulse_at_its_end_stays(sound: torch.Tensor) -> None:
    assert torch.equal(without_end_impulse(sound), sound)
