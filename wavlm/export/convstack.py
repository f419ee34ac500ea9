"""Read and write fairseq's expression for the convolutions, "[(512,10,5)] + [(512,3,2)] * 4", without evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wavlm.export.errors import ImportRefusedError
from wavlm.specs import ConvLayer

MAX_CHARACTERS = 2000
MAX_LAYERS = 64
MAX_NUMBER = 65536

_LAYER = r"\(\s*\d{1,6}\s*,\s*\d{1,6}\s*,\s*\d{1,6}\s*,?\s*\)"
_TERM = re.compile(
    rf"\s*\[\s*(?P<layers>{_LAYER}(?:\s*,\s*{_LAYER})*)\s*,?\s*\]"
    r"\s*(?:\*\s*(?P<times>\d{1,6})\s*)?"
)


def format_conv_stack(layers: Sequence[ConvLayer]) -> str:
    """The expression for a stack of layers: one list per run of equal layers, times the length of the run."""
    runs: list[tuple[ConvLayer, int]] = []
    for layer in layers:
        if runs and runs[-1][0] == layer:
            runs[-1] = layer, runs[-1][1] + 1
        else:
            runs.append((layer, 1))
    return " + ".join(
        f"[({layer.channels},{layer.kernel},{layer.stride})]" + (f" * {times}" if times > 1 else "")
        for layer, times in runs
    )


def parse_conv_stack(text: str) -> tuple[ConvLayer, ...]:
    """The layers of an expression: lists of (channels, kernel, stride), each with an optional "* count", joined by "+".

    Raises ImportRefusedError for anything else, and for more than 64 layers.
    """
    if len(text) > MAX_CHARACTERS:
        raise _refusal_error(text, f"{len(text)} characters, expected at most {MAX_CHARACTERS}")
    layers: list[ConvLayer] = []
    start = 0
    while True:
        term = _TERM.match(text, start)
        if term is None:
            raise _refusal_error(text, f"no list of (channels, kernel, stride) at character {start}")
        listed = [_layer(text, found) for found in re.findall(r"\([^)]*\)", term["layers"])]
        times = int(term["times"] or 1)
        if times < 1 or len(layers) + times * len(listed) > MAX_LAYERS:
            raise _refusal_error(text, f"expected 1 to {MAX_LAYERS} layers")
        layers += listed * times
        if term.end() == len(text):
            return tuple(layers)
        if text[term.end()] != "+":
            raise _refusal_error(text, f"expected '+' or the end at character {term.end()}")
        start = term.end() + 1


def _layer(text: str, written: str) -> ConvLayer:
    channels, kernel, stride = (int(number) for number in re.findall(r"\d+", written))
    if not all(1 <= number <= MAX_NUMBER for number in (channels, kernel, stride)):
        raise _refusal_error(text, f"sizes {written}, expected 1..{MAX_NUMBER}")
    return ConvLayer(channels=channels, kernel=kernel, stride=stride)


def _refusal_error(text: str, reason: str) -> ImportRefusedError:
    return ImportRefusedError(
        f"conv_feature_layers are read as lists of integers and never evaluated: {reason}; at {text[:100]!r}"
    )
