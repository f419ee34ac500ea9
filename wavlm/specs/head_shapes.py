"""Operations of heads, counted from their widths: a multiply-add is two."""

from __future__ import annotations

from wavlm.specs.heads import (
    BlstmHead,
    ConverterHead,
    DiarizerHead,
    FrameLinearHead,
    HeadSpec,
    MaskHead,
    PooledLinearHead,
    TranslatorHead,
    XvectorHead,
)

CLASSES = 64  # of a classifier, which is little beside what is below it
BINS = 257  # of a spectrum
X_VECTOR_TAPS, X_VECTOR_LAST = 5 + 3 + 3 + 1, 1500 / 512  # kernels of width 512 together; the fifth layer
SYMBOLS_PER_SECOND = 15.0  # of a translation by characters
MEL_FRAMES_PER_SECOND = 80.0
CONVERTER_SQUARES = 27.0  # weights of a converter by the square of its width: 28.6 M at 1024


def head_flops(head: HeadSpec, channels: int, frame_rate_hz: float, seconds: float) -> float | None:
    """Operations of a head, forwards, for an utterance; None for a head that is not counted.

    channels: of the states that it reads. The weighted sum before it is left out.
    """
    frames = 1.0 if isinstance(head, PooledLinearHead) else frame_rate_hz * seconds
    if isinstance(head, TranslatorHead):
        return 2.0 * _translate(head, channels, frames, seconds)
    if isinstance(head, ConverterHead):
        return 2.0 * CONVERTER_SQUARES * head.hidden**2 * MEL_FRAMES_PER_SECOND * seconds
    weights = _per_frame(head, channels)
    return None if weights is None else 2.0 * weights * frames


def _per_frame(head: HeadSpec, channels: int) -> float | None:
    """The weights that each frame meets."""
    found: float | None = None
    match head:
        case PooledLinearHead() | FrameLinearHead():
            found = head.projection * (channels + CLASSES)
        case BlstmHead():
            between = head.layers * (2 * head.hidden) ** 2 if head.tanh_projections else 0
            recurrent = _recurrent(head.projection, head.hidden, head.layers, directions=2)
            found = channels * head.projection + recurrent + between + 2 * head.hidden * CLASSES
        case XvectorHead():
            found = head.width * (channels + head.width * (X_VECTOR_TAPS + X_VECTOR_LAST))
        case DiarizerHead():
            found = _recurrent(channels, head.hidden, 1, directions=1)
        case MaskHead():
            found = _recurrent(channels, head.hidden, head.layers, directions=2) + 2 * head.hidden * BINS
    return found


def _recurrent(inputs: int, hidden: int, layers: int, directions: int) -> int:
    """The weights of LSTMs on top of each other."""
    widths = [inputs, *[directions * hidden] * (layers - 1)]
    return sum(directions * 4 * hidden * (width + hidden) for width in widths)


def _translate(head: TranslatorHead, channels: int, frames: float, seconds: float) -> float:
    """Two convolutions of kernel 5 that halve the frames, then layers of attention, whose products are left out."""
    convolved = frames / 2 * 5 * channels * 2 * head.width + frames / 4 * 5 * 2 * head.width**2
    encoded = frames / 4 * head.layers * 12 * head.width**2
    return convolved + encoded + SYMBOLS_PER_SECOND * seconds * head.layers * 16 * head.width**2
