"""Windows in the stretches with speech, and turns from the speaker of each window.

Where two windows of different speakers overlap, the turn ends in the middle of what both have, as in Kaldi and VBx.

Legend: W windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavlm.evaluation.metrics.diarization import Region, Turn


@dataclass(frozen=True)
class Window:
    """A stretch that gets one embedding."""

    start_s: float
    end_s: float
    region: int  # the number of its stretch with speech


def cut_windows(regions: Sequence[Region], window_s: float, hop_s: float) -> list[Window]:
    """Windows of one length every `hop_s`; the last one of a region ends with it, and may be shorter."""
    windows: list[Window] = []
    for number, (start_s, end_s) in enumerate(regions):
        count = 0
        while True:
            first_s = start_s + count * hop_s
            windows.append(Window(first_s, min(first_s + window_s, end_s), number))
            count += 1
            if first_s + window_s >= end_s:
                break
    return windows


def join_windows(windows: Sequence[Window], labels: Sequence[int]) -> list[Turn]:
    """The turns of windows in order of time, one label per window; speakers are named by their labels, from 1 on."""
    turns: list[Turn] = []
    for number, (it, label) in enumerate(zip(windows, labels, strict=True)):
        start_s, end_s = it.start_s, it.end_s
        if number and windows[number - 1].region == it.region:
            start_s = (windows[number - 1].end_s + it.start_s) / 2
        if number + 1 < len(windows) and windows[number + 1].region == it.region:
            end_s = (it.end_s + windows[number + 1].start_s) / 2
        name = str(label + 1)
        if turns and turns[-1][2] == name and turns[-1][1] == start_s:
            turns[-1] = (turns[-1][0], end_s, name)
        else:
            turns.append((start_s, end_s, name))
    return turns
