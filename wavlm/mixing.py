"""Utterance and noise mixing, WavLM's denoising task: a pure function of a group of crops.

Section 12 of docs/algorithm.md (Algorithm 1 of the paper), with its recommended choices: secondary
utterances come from an unmixed copy, and no utterance is its own partner. Every utterance draws
from a generator of its own, so the result depends on the group, the seed and the epoch alone.

Legend: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavlm.clips import ClipBank
from wavlm.rng import rng_for
from wavlm.specs import MixSpec

Waveform = npt.NDArray[np.float32]
Kind = Literal["speech", "noise"]


@dataclass(frozen=True)
class Event:
    """One region of one utterance into which something else was added."""

    key: str  # of the primary
    kind: Kind
    source: str  # key of what was added
    start_samples: int  # region in the primary
    num_samples: int
    source_start_samples: int  # region in the secondary
    ratio_db: float  # energy of the whole primary over that of the whole secondary, as added
    scale: float  # factor on the secondary; 0 where it is silent


@dataclass(frozen=True)
class Mixed:
    """The mixed crops (B, N) and what was done to them, in the order of the rows."""

    waveforms: Waveform
    events: tuple[Event, ...]


@dataclass(frozen=True)
class _Secondary:
    """What is added: a whole crop of the group, or a whole noise clip."""

    kind: Kind
    key: str
    waveform: Waveform  # (N,)


@dataclass(frozen=True)
class _Draws:
    """All that is random about one utterance: seven numbers in [0, 1), always drawn together."""

    mix: float
    noise: float
    pick: float
    ratio: float
    length: float
    source_end: float
    end: float


def mix_group(
    waveforms: Waveform,
    keys: Sequence[str],
    epoch: int,
    seed: int,
    spec: MixSpec,
    noise: ClipBank | None = None,
) -> Mixed:
    """Add to some of the crops (B, N) a stretch of another crop or of a noise clip.

    Labels stay those of the primary. Nothing is clipped or normalised here.
    """
    if spec.noise_probability > 0 and noise is None:
        raise ValueError(f"{spec.name} mixes in noise, but there is no noise")
    mixed = waveforms.copy()
    events = []
    for row, key in enumerate(keys):
        draws = _Draws(*rng_for(seed, "mix", epoch, key).random(7))
        if draws.mix >= spec.probability:
            continue
        secondary = _secondary(waveforms, keys, row, draws, spec, noise)
        if secondary is None:
            continue
        event = _event(waveforms[row], key, secondary, draws, spec)
        source = secondary.waveform[event.source_start_samples :][: event.num_samples]
        end = event.start_samples + event.num_samples
        mixed[row, event.start_samples : end] += np.float32(event.scale) * source
        events.append(event)
    return Mixed(mixed, tuple(events))


def _secondary(
    waveforms: Waveform,
    keys: Sequence[str],
    row: int,
    draws: _Draws,
    spec: MixSpec,
    noise: ClipBank | None,
) -> _Secondary | None:
    """What is added to a row; None if a lone utterance has no partner."""
    if noise is not None and draws.noise < spec.noise_probability:
        return _Secondary("noise", *noise.draw(draws.pick))
    num_partners = len(keys) - spec.exclude_self
    if not num_partners:
        return None
    partner = _below(draws.pick, num_partners)
    if spec.exclude_self:
        partner += partner >= row
    return _Secondary("speech", keys[partner], waveforms[partner])


def _event(
    primary: Waveform, key: str, secondary: _Secondary, draws: _Draws, spec: MixSpec
) -> Event:
    """Ratio, length and end points, uniform and independent: steps 4 and 5 of section 12."""
    low, high = spec.speech_ratio_db if secondary.kind == "speech" else spec.noise_ratio_db
    ratio_db = low + draws.ratio * (high - low)
    available = len(secondary.waveform)
    longest = int(spec.max_length_fraction * len(primary))
    length = min(_below(draws.length, longest + 1), available)
    end = length + _below(draws.end, len(primary) - length + 1)
    source_end = length + _below(draws.source_end, available - length + 1)
    return Event(
        key=key,
        kind=secondary.kind,
        source=secondary.key,
        start_samples=end - length,
        num_samples=length,
        source_start_samples=source_end - length,
        ratio_db=ratio_db,
        scale=_scale(primary, secondary.waveform, ratio_db),
    )


def _scale(primary: Waveform, secondary: Waveform, ratio_db: float) -> float:
    """Factor that puts the secondary `ratio_db` below the primary; 0 for silence.

    Mean squares over the whole crop and the whole clip, whatever region is added.
    """
    energy = float(np.mean(np.square(secondary, dtype=np.float64)))
    if energy == 0:
        return 0.0
    wanted = float(np.mean(np.square(primary, dtype=np.float64))) / 10 ** (ratio_db / 10)
    return float(np.sqrt(wanted / energy))


def _below(number: float, limit: int) -> int:
    """The whole number below `limit` that a number in [0, 1) picks, uniformly."""
    return int(number * limit)
