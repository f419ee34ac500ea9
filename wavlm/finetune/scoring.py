"""Predictions of a system on whole recordings, shared by ranks, and what they score.

Legend: N samples, S states, F frames, D channels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import JsonValue

from wavlm.engine.ranks import Ranks
from wavlm.evaluation.examples import Example
from wavlm.evaluation.tasks.task import Batch, Trainee
from wavlm.features.hidden import PIECE_SAMPLES, cut_pieces, single_precision
from wavlm.finetune.system import Heard, TunedSystem, pool


@torch.inference_mode()
def predict_whole(system: TunedSystem, trainee: Trainee, heard: Heard) -> list[JsonValue]:
    """The predictions for recordings as they are; a recording of more than 100 s, alone, is computed in pieces."""
    with single_precision():
        if len(heard.examples) == 1 and heard.waveforms.shape[1] > PIECE_SAMPLES:
            return trainee.predict(system.head, batch_of_pieces(system, heard))
        return trainee.predict(system.head, system.batch(heard))


def batch_of_pieces(system: TunedSystem, heard: Heard) -> Batch:
    """One long recording with its states, which are those of pieces of 100 s, one after another."""
    if system.network is None:
        return system.batch(heard)
    pieces = []
    for piece in cut_pieces(heard.waveforms[0].cpu().numpy()):
        waveform = torch.from_numpy(piece)[None].to(heard.waveforms.device)
        part = replace(heard, waveforms=waveform, num_samples=torch.tensor([len(piece)]))
        pieces.append(system.unpooled(part).states)
    states = torch.cat(pieces, dim=2)
    counts = torch.tensor([states.shape[2]], device=states.device)
    whole = Batch(heard.examples, states, counts, heard.waveforms, heard.num_samples.to(states.device), None)
    return pool(whole) if system.is_pooled else whole


class LookStoppedError(Exception):
    """A look at a part was stopped. Nothing of it is kept."""


@dataclass(frozen=True)
class Look:
    """How recordings are read and shared when a part is looked at."""

    load: Callable[[Sequence[Example]], Heard]
    ranks: Ranks
    feed: Callable[[], object] = lambda: None  # says that something goes on
    stops: Callable[[], bool] = lambda: False  # whether this rank was asked to stop


def predict_all(system: TunedSystem, trainee: Trainee, examples: Sequence[Example], look: Look) -> list[JsonValue]:
    """The prediction for each example, one recording at a time: each rank computes its share, all get all of them.

    Raises LookStoppedError on all ranks if any of them was asked to stop meanwhile.
    """
    ranks = look.ranks
    system.eval()
    own: list[JsonValue] = []
    for example in examples[ranks.rank :: ranks.world]:
        if look.stops():
            break
        own += predict_whole(system, trainee, look.load([example]).to(ranks.device))
        look.feed()
    if ranks.any(look.stops()):
        raise LookStoppedError
    shares = [json.loads(text) for text in ranks.gather(json.dumps(own))]
    return [shares[number % ranks.world][number // ranks.world] for number in range(len(examples))]


def score_dev(
    system: TunedSystem, trainee: Trainee, examples: Sequence[Example], look: Look
) -> tuple[float | None, dict[str, float]]:
    """The first figure on the dev part, turned so that higher is better, and all figures by name."""
    predictions = predict_all(system, trainee, examples, look)
    figures = trainee.score(examples, predictions, with_intervals=False)
    first = -figures[0].value if figures[0].is_lower_better else figures[0].value
    return first if math.isfinite(first) else None, {figure.name: figure.value for figure in figures}
