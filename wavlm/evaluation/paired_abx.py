"""Whether one model has a lower ABX error than another one, on the same triplets of the same utterances."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavlm.evaluation.facts import Gain, Mode
from wavlm.evaluation.fast.abx import Doubles, average_errors, find_interval
from wavlm.evaluation.fast.contrasts import FEWEST_BLOCKS, Contrasts
from wavlm.evaluation.scores import Chosen, layers_of
from wavlm.features.extract import one_thread
from wavlm.features.hidden import HiddenLayers, default_device
from wavlm.features.mfcc import Floats
from wavlm.nn.description import read_network
from wavlm.specs import ScoresSpec
from wavlm.specs.frames import FrameGrid


def find_abx_gain(
    spec: ScoresSpec, ours: Path, theirs: Path, chosen: Chosen, mode: Mode, confidence: float
) -> Gain | str:
    """The gain of the best layer of a model over the best layer of another one; a text that says why there is none."""
    grids = [FrameGrid.of(read_network(folder).network) for folder in (ours, theirs)]
    if grids[0] != grids[1]:
        return f"the models have {grids[0]} and {grids[1]}, and the triplets are stretches of frames"
    contrasts = Contrasts(chosen.judged, chosen.corpora, spec, grids[0])
    if mode not in contrasts.triplets:
        return "; ".join(contrasts.notes) or f"no ABX {mode} speakers: the probe has abx_cells 0"
    blocks = contrasts.find_blocks(mode)
    if blocks.num < FEWEST_BLOCKS:
        return f"ABX {mode} speakers has triplets of {blocks.num} {blocks.unit}, expected {FEWEST_BLOCKS} or more"
    wrong = np.stack([_judge_best_layer(spec, folder, chosen, contrasts, mode) for folder in (ours, theirs)])
    errors = average_errors(wrong, contrasts.triplets[mode])
    gain, draws = float(errors[1] - errors[0]), contrasts.draw(wrong, mode)
    low, high = find_interval(gain, draws[:, 1] - draws[:, 0], confidence)
    return Gain(
        metric=f"probe/abx_{mode}",
        ours=float(errors[0]),
        theirs=float(errors[1]),
        gain=gain,
        low=low,
        high=high,
        confidence=confidence,
        num_utterances=len(chosen.judged),
        num_blocks=blocks.num,
        unit=blocks.unit,
    )


def _judge_best_layer(spec: ScoresSpec, model_dir: Path, chosen: Chosen, contrasts: Contrasts, mode: Mode) -> Doubles:
    """Which triplets are wrong in the layer where the error is lowest, (T,)."""
    hidden = HiddenLayers(model_dir, layers_of(spec, model_dir), default_device(), sample_rate_hz=chosen.sample_rate_hz)
    kept: list[dict[int, Floats]] = []
    with one_thread():
        for number, item in enumerate(chosen.judged):
            contrasts.keep(number, hidden(item.waveform), kept)
    wrong = contrasts.judge(kept, mode)
    best = int(np.argmin(average_errors(wrong, contrasts.triplets[mode])))
    return np.asarray(wrong[best], np.float64)
