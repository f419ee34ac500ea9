"""Heads of the published widths on a Base model's frames: their sizes, and three updates that lower the loss."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wavlm.evaluation.heads.blstm import Blstm
from wavlm.evaluation.heads.conversion import Converter, MelStatistics, mel_lengths
from wavlm.evaluation.heads.ctc import ctc_loss
from wavlm.evaluation.heads.diarizer import Diarizer, diarization_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.mask import MaskNetwork, mask_loss
from wavlm.evaluation.heads.translation import Translator, translation_loss
from wavlm.evaluation.heads.xvector import AmSoftmax, XVector

WIDTH, NUM_FRAMES = 768, 40
LENGTHS = torch.tensor([40, 31])
TRANSCRIPTS = [[5, 9, 9, 30], [7, 8]]
SPECTRA = torch.randn(2, 2, NUM_FRAMES, 257, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
MEL = torch.randn(2, int(mel_lengths(LENGTHS)[0]), 80, generator=torch.Generator().manual_seed(1))
SPEAKERS = AmSoftmax(512, 1211)
Loss = Callable[[nn.Module, Tensor], Tensor]


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(2)]


# Per task: the parameters of s3prl 0.4.18's head (ST: of transformers' Speech2Text at the same sizes), ours, its loss.
HEADS: dict[str, tuple[int, Callable[[], nn.Module], Loss]] = {
    "PR": (215_882, lambda: FrameLinear(WIDTH, 74), lambda m, x: ctc_loss(m(x, LENGTHS), LENGTHS, TRANSCRIPTS)),
    "ASR": (42_828_832, lambda: Blstm(WIDTH, 32), lambda m, x: ctc_loss(m(x, LENGTHS), LENGTHS, TRANSCRIPTS)),
    "ASV": (6_110_172, lambda: XVector(WIDTH), lambda m, x: SPEAKERS(m(x, LENGTHS), torch.tensor([3, 700]))),
    "SD": (2_626_562, lambda: Diarizer(WIDTH), lambda m, x: diarization_loss(m(x, LENGTHS), x[..., :2] > 0, LENGTHS)),
    "SE": (
        50_966_529,
        lambda: MaskNetwork(WIDTH, 1),
        lambda m, x: mask_loss(m(x, LENGTHS), SPECTRA[:, 0], SPECTRA[:, :1], LENGTHS),
    ),
    "SS": (
        51_427_330,
        lambda: MaskNetwork(WIDTH, 2),
        lambda m, x: mask_loss(m(x, LENGTHS), SPECTRA.sum(1), SPECTRA, LENGTHS),
    ),
    "ST": (
        28_729_344,
        lambda: Translator(WIDTH, 100),
        lambda m, x: translation_loss(
            m(x, LENGTHS, torch.tensor([[2, 9, 50], [2, 30, 99]])), torch.tensor([[9, 50, 2], [30, 99, 2]])
        ),
    ),
    "VC": (
        28_641_360,
        lambda: Converter(WIDTH, MelStatistics(torch.zeros(80), torch.ones(80))),
        lambda m, x: m.loss(m(x, LENGTHS, generators(), MEL), LENGTHS, MEL, mel_lengths(LENGTHS)),
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_number_of_parameters_is_that_of_the_reference(name: str) -> None:
    count, make, _ = HEADS[name]
    with torch.device("meta"):
        head = make()
    assert sum(parameter.numel() for parameter in head.parameters()) == count


@pytest.mark.full
@pytest.mark.parametrize("name", HEADS)
def test_three_updates_lower_the_loss(name: str) -> None:
    _, make, loss = HEADS[name]
    torch.manual_seed(2)
    head, frames = make().train(), torch.randn(2, NUM_FRAMES, WIDTH)
    for part in head.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    adam = torch.optim.Adam(head.parameters(), lr=1e-4)
    found = []
    for _ in range(3):
        adam.zero_grad()
        found.append(loss(head, frames))
        found[-1].backward()
        adam.step()
    found.append(loss(head, frames))
    values = [float(value.detach()) for value in found]
    assert values == sorted(values, reverse=True)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())
