"""Heads against s3prl's with the same weights: outputs, losses, and three updates (reference/make_s3prl.py)."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.evaluation.heads.reference import (
    CONVERTER,
    DIARIZER,
    LENGTHS,
    LINEAR,
    MASKS,
    OUTPUTS,
    RECURRENT,
    XVECTOR,
    frames,
    like_reference,
    losses,
    require_reference,
)
from tests.evaluation.reference import values
from tests.numerics import require_close
from wavlm.evaluation.heads.blstm import Blstm
from wavlm.evaluation.heads.conversion import Converter, MelStatistics
from wavlm.evaluation.heads.ctc import ctc_loss
from wavlm.evaluation.heads.diarizer import Diarizer, diarization_loss
from wavlm.evaluation.heads.frame_linear import FrameLinear
from wavlm.evaluation.heads.mask import MaskNetwork, mask_loss, without_end_impulse
from wavlm.evaluation.heads.pooled_linear import PooledLinear
from wavlm.evaluation.heads.xvector import AmSoftmax, XVector

pytestmark = pytest.mark.numeric
FRAMES = max(values.LENGTHS)
TRANSCRIPTS = [[1, 2, 2, 3], [4, 1]]


def hidden(narrow: int) -> object:
    """The test twice: with narrow layers, and with the published widths (None)."""
    return pytest.mark.parametrize("hidden", [narrow, None], ids=["narrow", "published"])


def width_of(size: int | None) -> tuple[int, str]:
    return (values.WIDTH, "") if size else (values.FULL_WIDTH, "-full")


def of(kind: Callable[..., nn.Module], *args: object, size: int | None, **options: object) -> nn.Module:
    return kind(*args, **options) if size is None else kind(*args, hidden=size, **options)


def valid(outputs: Tensor) -> Tensor:
    return torch.cat([row[:length] for row, length in zip(outputs, values.LENGTHS, strict=True)])


def require_valid(name: str, found: Tensor, num_operations: int) -> None:
    """Only frames of the utterances are compared, not what stands in the padding."""
    require_close(valid(found), valid(torch.from_numpy(OUTPUTS[name])), num_operations, name=name)


def require_losses(name: str, found: Tensor) -> None:
    """Adam divides a gradient by its own size, so rounding of a small one is not small in the next weights."""
    torch.testing.assert_close(found, torch.from_numpy(OUTPUTS[name]), rtol=1e-4, atol=1e-6)
    assert len(set(found.tolist())) == values.NUM_UPDATES + 1


@hidden(8)
def test_linear_layers_on_frames(hidden: int | None) -> None:
    width, suffix = width_of(hidden)
    head = like_reference(of(FrameLinear, width, values.NUM_CLASSES, size=hidden), LINEAR)
    with torch.no_grad():
        require_valid(f"frame_linear{suffix}", head(frames(width), LENGTHS), width + 256)


@hidden(8)
def test_linear_layers_around_a_mean(hidden: int | None) -> None:
    """The sum of one state is that state. The mean over the frames of an utterance is taken first, theirs between."""
    width, suffix = width_of(hidden)
    head = PooledLinear(1, width, hidden or 256, [values.NUM_CLASSES])
    names = {"projection.": LINEAR["projection."], "classifier.": LINEAR["output."]}
    for ours, theirs in names.items():
        layer = head.get_submodule(ours.removesuffix("."))
        layer.load_state_dict(
            {
                name: torch.from_numpy(values.weight(theirs + name, tuple(tensor.shape)))
                for name, tensor in layer.state_dict().items()
            }
        )
    pooled = torch.stack([row[:length].mean(0) for row, length in zip(frames(width), values.LENGTHS, strict=True)])
    with torch.no_grad():
        (found,) = head(pooled.unsqueeze(1))
    require_reference(f"pooled_linear{suffix}", found, width + 256 + FRAMES)


@hidden(10)
@pytest.mark.parametrize("name", ["blstm", "blstm_tanh"])
def test_blstm(name: str, hidden: int | None) -> None:
    width, suffix = width_of(hidden)
    head = of(Blstm, width, values.NUM_CLASSES, size=hidden, tanh_projections=name == "blstm_tanh")
    with torch.no_grad():
        found = like_reference(head, RECURRENT)(frames(width), LENGTHS)
    require_valid(name + suffix, found, 2 * FRAMES * 2 * (hidden or 1024))


@pytest.mark.parametrize("name", ["blstm", "blstm_tanh"])
def test_updates_of_a_blstm_with_ctc(name: str) -> None:
    head = Blstm(values.WIDTH, values.NUM_CLASSES, hidden=10, tanh_projections=name == "blstm_tanh")
    head = like_reference(head, RECURRENT)
    found = losses(head, lambda: ctc_loss(head(frames(), LENGTHS), LENGTHS, TRANSCRIPTS))
    require_losses(f"{name}-losses", found)


def test_x_vector() -> None:
    head = like_reference(XVector(values.WIDTH), XVECTOR)
    operations = 512 * 14 + 1500 + 3000
    with torch.no_grad():
        require_reference("xvector", head.embed(frames(), LENGTHS)[:, ::8], operations)
        require_reference("xvector-training", head(frames(), LENGTHS)[:, ::8], operations + 512)


def am_softmax(width: int) -> AmSoftmax:
    margin = AmSoftmax(width, 3)
    margin.speakers.data = torch.from_numpy(values.weight("W", (width, 3))).T.contiguous()
    return margin


def test_am_softmax_equals_both_of_the_reference() -> None:
    vectors, speakers = torch.from_numpy(values.uniform("vectors", 4, 8)), torch.tensor([0, 2, 1, 2])
    with torch.no_grad():
        found = am_softmax(8)(vectors, speakers)
    require_reference("am_softmax", found, 100)
    require_reference("am_softmax-downstream", found, 100)


def test_updates_of_an_x_vector() -> None:
    head, margin = like_reference(XVector(values.WIDTH), XVECTOR), am_softmax(512)
    found = losses(
        head,
        lambda: margin(head(frames(), LENGTHS), torch.tensor([0, 2])),
        [*head.parameters(), *margin.parameters()],
    )
    require_losses("xvector-losses", found)


@hidden(10)
@pytest.mark.parametrize("num_speakers", [2, 3])
def test_diarizer(num_speakers: int, hidden: int | None) -> None:
    width, suffix = width_of(hidden)
    head = like_reference(of(Diarizer, width, num_speakers, size=hidden), DIARIZER)
    operations = FRAMES * ((hidden or 512) + width)
    with torch.no_grad():
        logits = head(frames(width), LENGTHS)
        loss = diarization_loss(logits, torch.from_numpy(values.activity(num_speakers)), LENGTHS)
    require_valid(f"diarizer-{num_speakers}{suffix}", logits, operations)
    require_reference(f"diarizer-{num_speakers}-loss{suffix}", loss, operations)


def test_updates_of_a_diarizer() -> None:
    head = like_reference(Diarizer(values.WIDTH, hidden=10), DIARIZER)
    truth = torch.from_numpy(values.activity(2))
    require_losses("diarizer-losses", losses(head, lambda: diarization_loss(head(frames(), LENGTHS), truth, LENGTHS)))


def spectra(num_sources: int) -> tuple[Tensor, Tensor]:
    mixture, sources = values.spectra(num_sources)
    return torch.from_numpy(mixture), torch.from_numpy(sources)


@hidden(10)
@pytest.mark.parametrize("num_sources", [1, 2])
def test_masks(num_sources: int, hidden: int | None) -> None:
    width, suffix = width_of(hidden)
    head = like_reference(of(MaskNetwork, width, num_sources, size=hidden), MASKS)
    operations = 3 * FRAMES * 2 * (hidden or 896)
    with torch.no_grad():
        made = head(frames(width), LENGTHS)
        loss = mask_loss(made, *spectra(num_sources), LENGTHS)
    for source in range(num_sources):
        expected = torch.from_numpy(OUTPUTS[f"masks-{num_sources}{suffix}"][:, source])
        require_close(valid(made[:, source, :, ::16]), valid(expected), operations)
    require_reference(f"masks-{num_sources}-loss{suffix}", loss, operations)


@pytest.mark.parametrize("num_sources", [1, 2])
def test_updates_of_masks(num_sources: int) -> None:
    head = like_reference(MaskNetwork(values.WIDTH, num_sources, hidden=10), MASKS)
    found = losses(head, lambda: mask_loss(head(frames(), LENGTHS), *spectra(num_sources), LENGTHS))
    require_losses(f"masks-{num_sources}-losses", found)


def test_an_impulse_at_the_end_is_removed_as_in_the_reference() -> None:
    sound = values.uniform("sound", 4000, size=0.5)
    sound[3700], sound[3950:] = 0.9, 0
    cleaned = without_end_impulse(torch.from_numpy(sound)).numpy()
    np.testing.assert_array_equal(cleaned[3600:3800], OUTPUTS["without_end_impulse"])
    np.testing.assert_array_equal(cleaned[:3700], sound[:3700])


def converter(size: int | None, width: int) -> Converter:
    mean, scale = values.uniform("mean", values.NUM_BANDS), 1.5 + values.uniform("scale", values.NUM_BANDS)
    statistics = MelStatistics(torch.from_numpy(mean), torch.from_numpy(scale))
    return like_reference(of(Converter, width, statistics, size=size, prenet_dropout=0.0), CONVERTER)


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in range(len(values.LENGTHS))]


@hidden(16)
def test_converter(hidden: int | None) -> None:
    width, suffix = width_of(hidden)
    with torch.no_grad():
        found = converter(hidden, width)(frames(width)[:1], LENGTHS[:1], generators()[:1])
    require_reference(f"converter{suffix}", found, 45 * 3 * (hidden or 1024))


def test_updates_of_a_converter() -> None:
    head, same = converter(16, values.WIDTH), torch.tensor([FRAMES, FRAMES])
    true = torch.from_numpy(values.uniform("mel", 2, 45, values.NUM_BANDS))
    with torch.no_grad():
        require_reference("converter-forced", head(frames(), same, generators(), true), 45 * 3 * 16)
    found = losses(
        head, lambda: head.loss(head(frames(), same, generators(), true), same, true, torch.tensor([45, 45]))
    )
    require_losses("converter-losses", found)
