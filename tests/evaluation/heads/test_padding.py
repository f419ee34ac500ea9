"""What stands in the padding, and which utterances share a batch, changes no result of a head."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.numerics import require_close
from wavlm.errors import BadDataError
from wavlm.evaluation.heads.blstm import Blstm
from wavlm.evaluation.heads.conversion import Converter, MelStatistics, mel_lengths
from wavlm.evaluation.heads.ctc import ctc_greedy, ctc_loss
from wavlm.evaluation.heads.diarizer import Diarizer, diarization_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.mask import MaskNetwork, mask_loss
from wavlm.evaluation.heads.padding import match_lengths, run_recurrent, valid_frames
from wavlm.evaluation.heads.translation import Translator, encoded_lengths
from wavlm.evaluation.heads.xvector import XVector

pytestmark = [pytest.mark.numeric, pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")]
WIDTH = 8
LENGTHS = (19, 30, 16)
SYMBOLS = torch.tensor([[2, 5, 4], [2, 6, 7], [2, 4, 4]])


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(len(LENGTHS))]


def statistics() -> MelStatistics:
    return MelStatistics(torch.tensor([0.5, -1.0]), torch.tensor([2.0, 3.0]))


# Per head: it, what it makes of frames, lengths and the rows of the batch, and how many frames of that are real.
Apply = Callable[[nn.Module, Tensor, Tensor, slice], Tensor]
HEADS: dict[str, tuple[Callable[[], nn.Module], Apply, Callable[[Tensor], Tensor] | None]] = {
    "frame linear": (lambda: FrameLinear(WIDTH, 5, hidden=6), lambda m, x, n, _: m(x, n), lambda n: n),
    "blstm": (lambda: Blstm(WIDTH, 5, hidden=6, tanh_projections=True), lambda m, x, n, _: m(x, n), lambda n: n),
    "x-vector": (lambda: XVector(WIDTH, hidden=6, pooled=7), lambda m, x, n, _: m(x, n), None),
    "diarizer": (lambda: Diarizer(WIDTH, 3, hidden=6), lambda m, x, n, _: m(x, n), lambda n: n),
    "masks": (lambda: MaskNetwork(WIDTH, 1, hidden=6), lambda m, x, n, _: m(x, n)[:, 0], lambda n: n),
    "encoded": (
        lambda: Translator(WIDTH, 9, hidden=16, num_heads=2, num_layers=2),
        lambda m, x, n, _: m.encode(x, n),
        encoded_lengths,
    ),
    "translator": (
        lambda: Translator(WIDTH, 9, hidden=16, num_heads=2, num_layers=2),
        lambda m, x, n, rows: m(x, n, SYMBOLS[rows]),
        None,
    ),
    "converter": (
        lambda: Converter(WIDTH, statistics(), hidden=8),
        lambda m, x, n, rows: m(x, n, generators()[rows]),
        mel_lengths,
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_an_utterance_alone_gives_what_it_gives_in_a_batch(name: str) -> None:
    make, apply, count = HEADS[name]
    torch.manual_seed(4)
    head, frames, lengths = make().eval(), torch.randn(3, max(LENGTHS), WIDTH), torch.tensor(LENGTHS)
    with torch.no_grad():
        together = apply(head, frames, lengths, slice(0, 3))
        for row, length in enumerate(LENGTHS):
            one = slice(row, row + 1)
            alone = apply(head, frames[one, :length], lengths[one], one)[0]
            real = int(count(lengths[one])) if count else len(alone)
            assert len(alone) == real
            require_close(together[row, :real], alone, 20_000, name=f"{name} {row}")


def test_training_a_converter_leaves_out_padding_in_the_statistics_of_norms() -> None:
    """Mean and variance of the batch are those of all real frames, which other padding does not change."""
    torch.manual_seed(5)
    head, frames, lengths = Converter(WIDTH, statistics(), hidden=8), torch.randn(2, 20, WIDTH), torch.tensor([20, 11])
    for part in head.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    other = frames.clone()
    other[1, 11:] = 9.0
    longer = nn.functional.pad(frames, (0, 0, 0, 7), value=3.0)
    expected = head.encode(frames, lengths)
    require_close(head.encode(other, lengths), expected, 1000)
    require_close(head.encode(longer, lengths)[:, :37], expected, 1000)


def test_losses_leave_out_padding() -> None:
    torch.manual_seed(6)
    lengths, garbage = torch.tensor([12, 7]), torch.full((1, 5, 3), 50.0)
    logits, activity = torch.randn(2, 12, 3), (torch.randn(2, 12, 3) > 0).float()
    worse = torch.cat([logits[:1], torch.cat([logits[1:, :7], garbage], dim=1)])
    for loss in (
        lambda x: diarization_loss(x, activity, lengths),
        lambda x: ctc_loss(x, lengths, [[1, 2], [2]]),
    ):
        assert torch.equal(loss(logits), loss(worse))
    assert ctc_greedy(logits, lengths) == ctc_greedy(worse, lengths)
    masks, sources = torch.rand(2, 2, 12, 257), torch.randn(2, 2, 12, 257, dtype=torch.complex64)
    spoiled = masks.clone()
    spoiled[1, :, 7:] = 50.0
    mixture = sources.sum(1)
    assert torch.equal(mask_loss(masks, mixture, sources, lengths), mask_loss(spoiled, mixture, sources, lengths))


def test_frames_are_cut_or_filled_to_the_frames_of_the_spectrum() -> None:
    frames = torch.arange(1.0, 9).view(2, 4, 1)
    found = match_lengths(frames, torch.tensor([4, 2]), torch.tensor([3, 5]))
    assert found[..., 0].tolist() == [[1, 2, 3, 0, 0], [5, 6, 0, 0, 0]]


@pytest.mark.parametrize(("layers", "is_both"), [(1, True), (3, True), (2, False)])
def test_outputs_and_gradients_of_recurrent_layers_are_those_of_packed_utterances(layers: int, is_both: bool) -> None:
    torch.manual_seed(7)
    lstm = nn.LSTM(WIDTH, 5, layers, batch_first=True, bidirectional=is_both).double()
    lengths, frames = torch.tensor([7, 1, 30, 12]), torch.randn(4, 33, WIDTH, dtype=torch.double, requires_grad=True)
    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=33)
    found, weights = run_recurrent(lstm, frames, lengths), torch.randn(expected.shape, dtype=torch.double)
    require_close(found, expected, 1000)
    wanted = (frames, *lstm.parameters())
    gradients = (torch.autograd.grad((it * weights).sum(), wanted) for it in (found, expected))
    for one, other in zip(*gradients, strict=True):
        require_close(one, other, 10_000)


@pytest.mark.parametrize("lengths", [(4, 0), (5, 1)])
def test_lengths_that_do_not_fit_are_refused(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected from 1 to 4, the frames of the batch"):
        valid_frames(torch.tensor(lengths), 4)
    with pytest.raises(ValueError, match="expected from 1 to 4"):
        run_recurrent(nn.LSTM(1, 1, batch_first=True), torch.zeros(2, 4, 1), torch.tensor(lengths))


def test_an_utterance_too_short_for_an_x_vector_is_refused_by_name_of_the_limit() -> None:
    """With 15 frames one is left after the convolutions, and its standard deviation would be NaN."""
    head = XVector(WIDTH, hidden=6, pooled=7)
    with pytest.raises(
        BadDataError, match=r"UTTERANCE_SHORT: an utterance has 15 frames, and an x-vector needs 16 .*; row 1 of"
    ):
        head.embed(torch.zeros(2, 20, WIDTH), torch.tensor([20, 15]))
    assert head.embed(torch.randn(1, 16, WIDTH), torch.tensor([16])).isfinite().all()
